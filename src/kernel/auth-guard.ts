import { z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { decode, verify } from 'hono/jwt'
import { type Call, withinDeadline } from './call.ts'
import { DomainError } from './errors.ts'
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
  exp: z.number(),
  iat: z.number(),
  jti: z.string().min(1),
})

/**
 * Verifies access tokens (JWT, RFC 7519, as RFC 8725 asks): EdDSA alone, a key chosen by `kid` among those of the
 * auth module, `iss` and `aud` as issued, `exp`, `iat` and `jti` required, ±30 s for clocks that disagree.
 */
export function authGuard(options: { keys: KeySource; issuer: string; logger: Logger }): Guard {
  const keyOf = createKeyCache(options.keys, options.logger)

  const principalOf = async (token: string, call: Call): Promise<Principal> => {
    const key = await keyOf(kidOf(token), call)
    if (!key) throw invalidToken()
    const payload = await verify(token, key, {
      alg: 'EdDSA',
      iss: options.issuer,
      aud: options.issuer,
      exp: false,
      iat: false,
    }).catch(() => {
      throw invalidToken()
    })
    const parsed = claims.safeParse(payload)
    const now = Date.now() / 1000
    if (!parsed.success || parsed.data.iat > now + clockSkew) throw invalidToken()
    if (parsed.data.exp <= now - clockSkew) {
      throw new DomainError('token_expired', 'Authorization: the access token has expired; sign in again')
    }
    return { userId: parsed.data.sub, role: parsed.data.role }
  }

  return (role) => async (c, next) => {
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

function kidOf(token: string): string {
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

/**
 * Holds the key set: fetched at first use, again in the background every five minutes, and at most once in 30 s
 * because somebody showed an unknown `kid`. While auth is down, the keys known so far go on serving, and of a token with
 * another nobody can tell: `dependency_unavailable`.
 */
export function createKeyCache(source: KeySource, logger: Logger) {
  let known = new Map<string, PublicKey>()
  let fetchedAt: number | undefined
  let askedForUnknownAt = 0
  let asked = Promise.resolve()
  let fetching: Promise<void> | undefined

  const fetchKeys = (call: Call): Promise<void> => {
    fetching ??= source({}, call)
      .then((keys) => {
        known = new Map(keys.map((key) => [key.kid, key]))
        fetchedAt = Date.now()
      })
      .finally(() => {
        fetching = undefined
      })
    return fetching
  }

  const inBackground = (call: Call) => {
    if (fetching) return
    fetchKeys({ ...call, deadline: Date.now() + 10_000 }).catch((error: unknown) => {
      // Not before another interval: what is known goes on serving meanwhile.
      fetchedAt = Date.now()
      logger.warn({ error: String(error) }, 'the key set could not be refreshed; using the known one')
    })
  }

  return async (kid: string, call: Call): Promise<PublicKey | undefined> => {
    const now = Date.now()
    if (fetchedAt === undefined) await withinDeadline(call, 'auth', fetchKeys(call))
    else if (now - fetchedAt > refreshAfter) inBackground(call)
    const key = known.get(kid)
    if (key) return key
    if (now - askedForUnknownAt >= askAgainAfter) {
      askedForUnknownAt = now
      asked = fetchKeys(call)
    }
    // The key may be among those that are being fetched. Where they could not be, nobody knows whether the token is
    // good: that is 503, and signs nobody out.
    await withinDeadline(call, 'auth', asked)
    return known.get(kid)
  }
}
