import { cacheControl } from '#kernel/http/caching.ts'

/**
 * The security headers of each answer. They forbid browsers almost every use of an answer (OWASP HTTP Headers Cheat
 * Sheet), and caches to keep it. OWASP ASVS 5, 3.4.1, requires HSTS for a year.
 */
export const securityHeaders: Readonly<Record<string, string>> = {
  'cache-control': cacheControl.notStored,
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'DENY',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
}

/** The content security policy of a page that loads its style and images from this server, and has no scripts and nothing inline. */
export const pagePolicy = policyOf("style-src 'self'", "img-src 'self'")

/** The content security policy of the reference. Its scripts come from this server and call it. Its style has images in `data:`. */
export const referencePolicy = policyOf(
  "style-src 'self'",
  "img-src 'self' data:",
  "script-src 'self'",
  "connect-src 'self'",
)

function policyOf(...sources: string[]): string {
  const rest = ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"]
  return ["default-src 'none'", ...sources, ...rest].join('; ')
}
