import type { IncomingMessage } from 'node:http'
import { isIPv6 } from 'node:net'
import type { Fault } from '#kernel/errors.ts'

/** The path that stands for the target of `OPTIONS *` (RFC 9112, 3.2.4) in the application. */
export const serverWidePath = '/*'

// A host and a port (RFC 3986, 3.2.2 and 3.2.3). The host is an IPv6 address in brackets or a registered name.
const authority = /^(?:\[([^\]%]*)\]|(?:[\w\-.~!$&'()*+,;=]|%[\da-f]{2})*)(?::\d*)?$/i

const isAuthority = (text: string): boolean => {
  const [matched, literal] = authority.exec(text) ?? []
  return matched !== undefined && (literal === undefined || isIPv6(literal))
}

/**
 * Returns the fault of the Host header of a request (RFC 9112, 3.2), or undefined. The value has no other effect, since
 * the service is the same under every name.
 */
export function faultOfHost({
  rawHeaders,
  httpVersion,
}: IncomingMessage): Pick<Fault, 'code' | 'message'> | undefined {
  let host: string | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]
    if (name?.length !== 4 || name.toLowerCase() !== 'host') continue
    if (host !== undefined) return { code: 'repeated', message: 'must be given only once' }
    host = rawHeaders[at + 1] ?? ''
  }
  if (host === undefined)
    return httpVersion === '1.0'
      ? undefined
      : { code: 'required', message: 'is required in HTTP/1.1; it may be empty' }
  return isAuthority(host)
    ? undefined
    : {
        code: 'format',
        message: 'must be a host name or an address, optionally with a port (RFC 9110, 7.2)',
      }
}

/** Returns the origin form (`/path?query`) of a request's target (RFC 9112, 3.2), or undefined if it has none. */
export function originForm({ url = '', method }: IncomingMessage): string | undefined {
  if (url.includes('#')) return undefined
  if (url.startsWith('/')) return url
  if (url === '*') return method === 'OPTIONS' ? serverWidePath : undefined
  const [absolute, name = ''] = /^https?:\/\/([^/?]*)/i.exec(url) ?? []
  if (absolute === undefined || /^(?::|$)/.test(name) || !isAuthority(name)) return undefined
  const rest = url.slice(absolute.length)
  return rest.startsWith('/') ? rest : `/${rest}`
}
