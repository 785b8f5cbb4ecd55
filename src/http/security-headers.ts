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

/** The content security policy of a page that loads scripts, styles and images from this server, and has nothing inline. */
export const ownPagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')
