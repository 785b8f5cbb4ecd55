import { isWithinOneEdit } from './edit-distance.ts'

// The `Origin` of browser extensions and apps has a scheme of its own, and a host that names the app.
const appOrigin =
  /^(?!(?:https?|wss?|ftp|file|data|blob|about|javascript):)[a-z][a-z0-9+.-]*:\/\/[a-z0-9._-]+(?::\d{1,5})?$/

// The host of an http or https origin. The class `URL` alone would accept characters that no DNS name has, such as `*`.
const webHost = /^(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])$/

/**
 * Checks that a browser can send exactly this text as the `Origin` of a page (RFC 6454, 6.2), because origins are
 * compared character by character.
 * @returns undefined for an origin, otherwise a message that follows the name of the variable
 */
export function originFault(entry: string): string | undefined {
  const quoted = JSON.stringify(entry.replace(/\/\/[^/@]*@/, '//***@')).slice(0, 200)
  if (entry.includes('*')) return `has ${quoted}: wildcards are not supported, each origin must be listed`
  if (entry === 'null')
    return `has ${quoted}: browsers send it for every page without an origin, and any site can make such a page`
  const correct = webOrigin(entry)
  if (correct === entry || isAppOrigin(entry)) return undefined
  const suggestion = correct ?? guessOrigin(entry)
  const form = suggestion ? `must be ${suggestion}` : 'an origin is scheme://host or scheme://host:port'
  return `has ${quoted}, which is not an origin as browsers send it: ${form}`
}

/** @returns the origin of an http or https URL, or undefined for any other text */
function webOrigin(entry: string): string | undefined {
  const url = URL.parse(entry)
  if (!url || !/^https?:$/.test(url.protocol) || !webHost.test(url.hostname)) return undefined
  return url.origin
}

function isAppOrigin(entry: string): boolean {
  const [scheme = ''] = entry.split(':')
  return appOrigin.test(entry) && !['http', 'https'].some((web) => isWithinOneEdit(scheme, web))
}

/** Guesses the intended origin of an entry with a missing or mistyped scheme, or of an app's origin in capital letters. */
function guessOrigin(entry: string): string | undefined {
  const app = entry.toLowerCase().replace(/\/$/, '')
  if (isAppOrigin(app)) return app
  const rest = entry.replace(/^(?:ht[a-z]*:?)?\/\//i, '')
  if (/^[^/]*\/\//.test(rest)) return undefined
  const isLocal = /^(?:localhost|127\.|\[)/.test(rest)
  return webOrigin(`${isLocal ? 'http' : 'https'}://${rest}`)
}
