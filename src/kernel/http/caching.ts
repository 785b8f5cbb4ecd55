import type { Context } from 'hono'
import type { AppEnv } from './app-env.ts'
import { etag, notModified } from './preconditions.ts'
import type { Representation } from './representation.ts'
import { respond, respondJson } from './respond.ts'

/**
 * The values of `Cache-Control`. An answer has `no-store` unless its route passes another one, so that no cache keeps an
 * error, personal data or a token.
 */
export const cacheControl = {
  /** No cache keeps the answer, not even the browser's on a shared computer. */
  notStored: 'no-store',
  /** A cache asks before each use whether the answer is still current. If it is, the answer is 304, without a body. */
  revalidated: 'no-cache',
  /** As long as a service keeps the keys (`key-cache.ts`). A rotation publishes a new key for longer than that before the key signs. */
  keySet: 'public, max-age=300',
  /** For a URL that contains a hash of the content, so that other content has another URL. */
  immutable: 'public, max-age=31536000, immutable',
} as const
export type CacheControl = (typeof cacheControl)[keyof typeof cacheControl]

/**
 * Answers a read with 304 if the client has this representation already, and with 200 otherwise. The application may compress the
 * body if a cache may keep it. An answer with `no-store` may contain a secret, which its compressed length could reveal (BREACH).
 */
export function respondWith<Body>(
  c: Context<AppEnv>,
  representation: Representation<Body>,
  caching: CacheControl = cacheControl.notStored,
) {
  const headers = c.get('headers')
  headers['cache-control'] = caching
  const isCompressible = caching !== cacheControl.notStored
  if (isCompressible) varyBy(c, 'Accept-Encoding')
  const { body, etag, contentType } = representation
  const isKnown = notModified(c, etag)
  if (isCompressible && !isKnown) c.set('compressible', representation)
  const answer = isKnown ? respond(c, null, 304) : respond(c, body, 200, { 'content-type': contentType })
  return answer as unknown as ReturnType<typeof c.json<Body, 200>>
}

/**
 * Answers a read of a resource with a version: 304 if the client has this version already, and 200 otherwise.
 * @param makeBody makes the body. It is not called for a 304
 */
export function respondWithVersion<Body>(
  c: Context<AppEnv>,
  version: number,
  makeBody: () => Body,
  caching: CacheControl = cacheControl.notStored,
) {
  c.get('headers')['cache-control'] = caching
  const answer = notModified(c, etag(version)) ? respond(c, null, 304) : respondJson(c, makeBody(), 200)
  return answer as ReturnType<typeof respondJson<Body, 200>>
}

/** Names a request header that the answer depends on, in addition to those that middleware has named. */
export function varyBy(c: Context<AppEnv>, name: string): void {
  const headers = c.get('headers')
  headers.vary = headers.vary === undefined ? name : `${headers.vary}, ${name}`
}
