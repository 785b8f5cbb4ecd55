import { hash } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { decode, verify } from 'hono/jwt'
import { LRUCache } from 'lru-cache'
import type { Call } from '#kernel/call.ts'
import { DomainError } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import { type Principal, type Role, roles } from '#kernel/principal.ts'
import type { PublicKey } from '#kernel/public-key.ts'
import { id } from '#kernel/schemas.ts'
import type { AppEnv } from './app-env.ts'
import { createKeyCache, type KeySource } from './key-cache.ts'

/** Makes the guard of a role: `guard('customer')` admits every signed-in user, `guard('admin')` admits admins only. */
export type Guard = (role: Role) => MiddlewareHandler<AppEnv>

const clockSkewSeconds = 30

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
 * Verifies access tokens (JWT, RFC 7519) by the rules of RFC 8725. The algorithm is EdDSA only. `kid` selects one of the
 * `keys`. `iss` and `aud` must be the `issuer`. `exp`, `iat` and `jti` are required. Clocks may differ by 30 s.
 */
export function authGuard(options: {
  keys: KeySource
  issuer: string
  logger: Logger
  maxCachedTokens?: number
}): Guard {
  const { keys, issuer, logger, maxCachedTokens = 10_000 } = options
  const findKey = createKeyCache(keys, logger)
  // The signature of a token is verified once. Its key and its times are checked at each use. The cache contains only
  // hashes of the tokens, so that its content cannot be used to sign in.
  const verified = new LRUCache<string, { key: PublicKey; claims: Claims }>({ max: maxCachedTokens })

  const verifyToken = async (token: string, key: PublicKey): Promise<Claims> => {
    const checks = { alg: 'EdDSA', iss: issuer, aud: issuer, exp: false, iat: false, nbf: false } as const
    // The claims of a token that is not verified are missing, and so invalid.
    const payload = await verify(token, key, checks).catch(() => undefined)
    const parsed = claims.safeParse(payload)
    if (!parsed.success) throw invalidToken()
    return parsed.data
  }

  const authenticate = async (token: string, call: Call): Promise<Principal> => {
    const digest = hash('sha256', token, 'base64url')
    const cached = verified.get(digest)
    const key = await findKey(cached?.key.kid ?? readKid(token), call)
    if (!key) throw invalidToken()
    const claims = cached?.key.x === key.x ? cached.claims : await verifyToken(token, key)
    checkTimes(claims)
    verified.set(digest, { key, claims })
    return { userId: claims.sub, role: claims.role }
  }

  return (role) => async (c, next) => {
    const token = /^Bearer +(\S+)$/i.exec(c.req.header('Authorization') ?? '')?.[1]
    if (!token) throw new DomainError('unauthenticated', 'Authorization: must be "Bearer <access token>"')
    const principal = await authenticate(token, c.get('call'))
    if (role === 'admin' && principal.role !== 'admin') {
      throw new DomainError('forbidden', 'this request needs the role admin')
    }
    c.set('principal', principal)
    await next()
  }
}

const invalidToken = () =>
  new DomainError('invalid_token', 'Authorization: must be an access token that this API issued')

function checkTimes({ exp, iat, nbf = iat }: Claims): void {
  const now = Date.now() / 1000
  if (Math.max(iat, nbf) > now + clockSkewSeconds) throw invalidToken()
  if (exp <= now - clockSkewSeconds) {
    throw new DomainError('token_expired', 'Authorization: the access token has expired; sign in again')
  }
}

// The compact form of a JWS (RFC 7515, section 2): base64url without padding. A signature of 64 bytes has 86
// characters. The last character carries only two bits. Only the four characters without other bits are accepted, so
// that each signature has exactly one spelling.
const compactJws = /^[\w-]+\.[\w-]+\.[\w-]{85}[AQgw]$/

function readKid(token: string): string {
  if (!compactJws.test(token)) throw invalidToken()
  try {
    const { kid } = decode(token).header
    if (typeof kid === 'string') return kid
  } catch {
    // The text is not a token.
  }
  throw invalidToken()
}
