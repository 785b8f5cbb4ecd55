import { type Call, orAskedAgain, withinDeadline } from '#kernel/call.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { PublicKey } from '#kernel/public-key.ts'

export type KeySource = (request: Record<never, never>, call: Call) => Promise<PublicKey[]>

const refreshAfter = 300_000
const askAgainAfter = 30_000
// A fetch that has not answered by then is begun once more, for all requests that wait for it.
const firstFetchMs = 800
const sharedFetchMs = 10_000

/**
 * Holds the key set: fetched at first use, again in the background every five minutes, and at most once in 30 s
 * because somebody showed an unknown `kid`. While auth is down, the keys known so far go on serving, and of a token with
 * another nobody can tell: `dependency_unavailable`.
 */
export function createKeyCache(source: KeySource, logger: Logger) {
  let known = new Map<string, PublicKey>()
  /** Unset until there are keys. */
  let refreshAt: number | undefined
  let askedForUnknownAt = 0
  let fetching = false
  let latest = Promise.resolve()

  /** The one that is under way, if there is one. */
  const fetchKeys = (call: Call): Promise<void> => {
    if (fetching) return latest
    fetching = true
    latest = orAskedAgain(call, firstFetchMs, 'auth', (within) => source({}, within))
      .then((keys) => {
        // Auth always has a key to sign with. Whatever says otherwise would sign everybody out.
        if (keys.length === 0) throw dependencyUnavailable('auth answered with a key set that has no keys')
        known = new Map(keys.map((key) => [key.kid, key]))
        refreshAt = Date.now() + refreshAfter
      })
      .finally(() => {
        fetching = false
      })
    return latest
  }

  /** A fetch that several requests wait for does not end with the time of the one that began it. */
  const sharedFetch = (call: Call) => fetchKeys({ ...call, deadline: Date.now() + sharedFetchMs })

  /** For a request that cannot be answered without keys: waits as long as that request may. */
  const fetchFirst = (call: Call): Promise<void> => withinDeadline(call, 'auth', sharedFetch(call))

  const inBackground = (call: Call) => {
    if (fetching) return
    sharedFetch(call).catch((error: unknown) => {
      // Not with every request: what is known goes on serving meanwhile.
      refreshAt = Date.now() + askAgainAfter
      logger.warn({ error: String(error) }, 'the key set could not be refreshed; using the known one')
    })
  }

  return async (kid: string, call: Call): Promise<PublicKey | undefined> => {
    const now = Date.now()
    if (refreshAt === undefined) {
      await fetchFirst(call)
      // That was the fetch for this kid, too.
      if (!known.has(kid)) askedForUnknownAt = now
    } else if (now > refreshAt) inBackground(call)
    const key = known.get(kid)
    if (key) return key
    if (now - askedForUnknownAt >= askAgainAfter) {
      askedForUnknownAt = now
      fetchKeys(call)
    }
    // The key may be among those that are being fetched. Where they could not be, nobody knows whether the token is
    // good: that is 503, and signs nobody out.
    await withinDeadline(call, 'auth', latest)
    return known.get(kid)
  }
}
