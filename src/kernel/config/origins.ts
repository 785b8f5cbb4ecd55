import { isWithinOneEdit } from './edit-distance.ts'

// What browsers send as `Origin` for pages of their own making or of apps: a scheme, and a host that names the app.
const appOrigin =
  /^(?!(?:https?|wss?|ftp|file|data|blob|about|javascript):)[a-z][a-z0-9+.-]*:\/\/[a-z0-9._-]+(?::\d{1,5})?$/

// Of http and https. `URL` lets a host have more characters than any name in DNS has, such as `*`.
const webHost = /^(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])$/

/**
 * Whether a browser sends exactly this as the `Origin` of a page (RFC 6454, 6.2): a page is compared with it letter by
 * letter.
 * @returns undefined for an origin, otherwise what completes "<variable> "
 */
export function originFault(entry: string): string | undefined {
  const shown = JSON.stringify(entry.replace(/\/\/[^/@]*@/, '//***@')).slice(0, 200)
  if (entry.includes('*')) return `has ${shown}: wildcards are not supported, each origin must be listed`
  if (entry === 'null')
    return `has ${shown}: that is what browsers send for pages without an origin, of anyone's making`
  const right = webOrigin(entry)
  if (right === entry || isAppOrigin(entry)) return undefined
  const example = right ?? guessed(entry)
  const form = example ? `must be ${example}` : 'an origin is scheme://host or scheme://host:port'
  return `has ${shown}, which is not an origin as browsers send it: ${form}`
}

/** The origin of an http or https URL. */
function webOrigin(entry: string): string | undefined {
  const url = URL.parse(entry)
  if (!url || !/^https?:$/.test(url.protocol) || !webHost.test(url.hostname)) return undefined
  return url.origin
}

function isAppOrigin(entry: string): boolean {
  const [scheme = ''] = entry.split(':')
  return appOrigin.test(entry) && !['http', 'https'].some((web) => isWithinOneEdit(scheme, web))
}

/** What was probably meant by an entry without a scheme or with a mistyped one, or by an app's in capitals. */
function guessed(entry: string): string | undefined {
  const app = entry.toLowerCase().replace(/\/$/, '')
  if (isAppOrigin(app)) return app
  const rest = entry.replace(/^(?:ht[a-z]*:?)?\/\//i, '')
  if (/^[^/]*\/\//.test(rest)) return undefined
  const isLocal = /^(?:localhost|127\.|\[)/.test(rest)
  return webOrigin(`${isLocal ? 'http' : 'https'}://${rest}`)
}
