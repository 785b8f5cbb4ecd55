import { hash } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { decode, verify } from 'hono/jwt'
import { LRUCache } from 'lru-cache'
import { type Call, orAskedAgain, withinDeadline } from './call.ts'
import { DomainError, dependencyUnavailable } from './errors.ts'
import type { Logger } from './logger.ts'
import { type Principal, type Role, roles } from './principal.ts'
import type { AppEnv } from './router.ts'
import { id } from './schemas.ts'

/** A public Ed25519 key as a JWK (RFC 8037). */
export const publicKey = z.object({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  alg: z.literal('EdDSA'),
  use: z.literal('sig'),
  kid: z.string().min(1).max(200),
  x: z.string().length(43),
})
export type PublicKey = z.infer<typeof publicKey>
export type KeySource = (request: Record<never, never>, call: Call) => Promise<PublicKey[]>

/** The guard of a role: `guard('customer')` lets every signed-in user through, `guard('admin')` admins alone. */
export type Guard = (role: Role) => MiddlewareHandler<AppEnv>

const clockSkew = 30

const claims = z.object({
  sub: id,
  role: z.enum(roles),
  exp: z.number().max(Number.MAX_SAFE_INTEGER),
  iat: z.number(),
  nbf: z.number().optional(),
  jti: z.string().min(1),
})
type Claims = z.infer<typeof claims>

/**
 * Verifies access tokens (JWT, RFC 7519, as RFC 8725 asks): EdDSA alone, a key chosen by `kid` among those of the
 * auth module, `iss` and `aud` as issued, `exp`, `iat` and `jti` required, ±30 s for clocks that disagree.
 */
export function authGuard(options: {
  keys: KeySource
  issuer: string
  logger: Logger
  /** How many verified tokens to remember. */
  remembered?: number
}): Guard {
  const { keys, issuer, logger, remembered = 10_000 } = options
  const keyOf = createKeyCache(keys, logger)
  // That a key has signed these claims stays true; whether the key still counts, and the time, is looked at with
  // every use. Kept by a hash: nothing here could be shown as a token.
  const verified = new LRUCache<string, { key: PublicKey; claims: Claims }>({ max: remembered })

  const claimsOf = async (token: string, key: PublicKey): Promise<Claims> => {
    const checks = { alg: 'EdDSA', iss: issuer, aud: issuer, exp: false, iat: false, nbf: false } as const
    const payload = await verify(token, key, checks).catch(() => {
      throw invalidToken()
    })
    const parsed = claims.safeParse(payload)
    if (!parsed.success) throw invalidToken()
    return parsed.data
  }

  const principalOf = async (token: string, call: Call): Promise<Principal> => {
    const digest = hash('sha256', token, 'base64url')
    const known = verified.get(digest)
    const key = await keyOf(known?.key.kid ?? kidOf(token), call)
    if (!key) throw invalidToken()
    const claims = known?.key.x === key.x ? known.claims : await claimsOf(token, key)
    checkTimes(claims)
    verified.set(digest, { key, claims })
    return { userId: claims.sub, role: claims.role }
  }

  return (role) => async (c, next) => {
    // What is only for who has signed in is nobody else's, on a shared computer neither.
    c.get('headers')['cache-control'] = 'no-store'
    const token = /^Bearer +(\S+)$/i.exec(c.req.header('Authorization') ?? '')?.[1]
    if (!token) throw new DomainError('unauthenticated', 'Authorization: must be "Bearer <access token>"')
    const principal = await principalOf(token, c.get('call'))
    if (role === 'admin' && principal.role !== 'admin') {
      throw new DomainError('forbidden', 'this needs the role admin')
    }
    c.set('principal', principal)
    await next()
  }
}

const invalidToken = () =>
  new DomainError('invalid_token', 'Authorization: must be an access token that POST /login issued')

/** Clocks may disagree by `clockSkew` either way. */
function checkTimes({ exp, iat, nbf = iat }: Claims): void {
  const now = Date.now() / 1000
  if (Math.max(iat, nbf) > now + clockSkew) throw invalidToken()
  if (exp <= now - clockSkew) {
    throw new DomainError('token_expired', 'Authorization: the access token has expired; sign in again')
  }
}

// Base64url without padding, as a JWS is written (RFC 7515, 2), and each signature in one way only: 64 bytes are 86
// characters, of which the last has two bits to say.
const compactForm = /^[\w-]+\.[\w-]+\.[\w-]{85}[AQgw]$/

function kidOf(token: string): string {
  if (!compactForm.test(token)) throw invalidToken()
  try {
    const { kid } = decode(token).header
    if (typeof kid === 'string') return kid
  } catch {
    // Not a token at all: refused as one whose key is unknown.
  }
  throw invalidToken()
}

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
