import { type Call, retryOnTimeout, waitUntilDeadline } from '#kernel/call.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { PublicKey } from '#kernel/public-key.ts'

export type KeySource = (request: Record<never, never>, call: Call) => Promise<PublicKey[]>

// In messages about a fetch without an answer.
const sourceName = 'the source of the key set'
const refreshAfterMs = 300_000
const retryAfterMs = 30_000
// After this time, a fetch without an answer is started a second time, for all requests that wait for it.
const firstFetchMs = 800
const sharedFetchMs = 10_000

/**
 * Caches the key set. It fetches the keys at the first use, in the background every five minutes, and at most once in 30 s for
 * a token with an unknown `kid`. While the source is down, the cached keys stay in use, and a token with another key is answered
 * `dependency_unavailable`, because it may be valid.
 */
export function createKeyCache(source: KeySource, logger: Logger) {
  let keysByKid = new Map<string, PublicKey>()
  /** Undefined until the first keys have arrived. */
  let refreshAt: number | undefined
  let unknownKidFetchedAt = 0
  let fetching = false
  let latestFetch = Promise.resolve()

  /** Starts a fetch, or returns the one in flight. */
  const fetchKeys = (call: Call): Promise<void> => {
    if (fetching) return latestFetch
    fetching = true
    latestFetch = retryOnTimeout(call, firstFetchMs, sourceName, (within) => source({}, within))
      .then((keys) => {
        // The source always has a signing key. An empty set would sign out all users.
        if (keys.length === 0) throw dependencyUnavailable('the key set has no keys')
        keysByKid = new Map(keys.map((key) => [key.kid, key]))
        refreshAt = Date.now() + refreshAfterMs
      })
      .finally(() => {
        fetching = false
      })
    return latestFetch
  }

  /** A fetch that several requests share does not end at the deadline of the request that started it. */
  const sharedFetch = (call: Call) => fetchKeys({ ...call, deadline: Date.now() + sharedFetchMs })

  /** Waits for the keys until the deadline of the request that needs them. */
  const fetchFirst = (call: Call): Promise<void> => waitUntilDeadline(call, sourceName, sharedFetch(call))

  const refreshInBackground = (call: Call) => {
    if (fetching) return
    sharedFetch(call).catch((error: unknown) => {
      // The next attempt is delayed, so that not every request makes one. The known keys stay in use.
      refreshAt = Date.now() + retryAfterMs
      logger.warn({ err: error }, 'could not refresh the key set, using the cached one')
    })
  }

  return async (kid: string, call: Call): Promise<PublicKey | undefined> => {
    const now = Date.now()
    if (refreshAt === undefined) {
      await fetchFirst(call)
      // This fetch has shown already that the source does not know this kid.
      if (!keysByKid.has(kid)) unknownKidFetchedAt = now
    } else if (now > refreshAt) refreshInBackground(call)
    const key = keysByKid.get(kid)
    if (key) return key
    if (now - unknownKidFetchedAt >= retryAfterMs) {
      unknownKidFetchedAt = now
      fetchKeys(call)
    }
    // The fetch may bring the key. If it fails, the token may still be valid. The answer is then 503, because 401 would sign the
    // user out.
    await waitUntilDeadline(call, sourceName, latestFetch)
    return keysByKid.get(kid)
  }
}
