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
import { createKeyCache, type KeySource } from './key-cache.ts'
import type { AppEnv } from './router.ts'

/** The guard of a role: `guard('customer')` lets every signed-in user through, `guard('admin')` admins alone. */
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
  if (Math.max(iat, nbf) > now + clockSkewSeconds) throw invalidToken()
  if (exp <= now - clockSkewSeconds) {
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
