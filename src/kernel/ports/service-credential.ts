import { z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { sign, verify } from 'hono/jwt'
import { DomainError } from '#kernel/errors.ts'
import type { AppEnv } from '#kernel/http/router.ts'

// Short enough that a leaked one is of little use, long enough for clocks that disagree by half a minute.
const lifetimeSeconds = 60
const renewAfterSeconds = 20
const clockSkewSeconds = 30

const audience = (module: string) => `trivet-internal:${module}`

/** A credential for one target, bound to it: what order shows to product opens nothing else. */
export type CredentialIssuer = (target: string) => Promise<string>

export function createCredentialIssuer(secret: string): CredentialIssuer {
  const issued = new Map<string, { credential: string; until: number }>()
  return async (target) => {
    const now = Math.floor(Date.now() / 1000)
    const known = issued.get(target)
    if (known && known.until > now) return known.credential
    const credential = await sign(
      { aud: audience(target), iat: now, exp: now + lifetimeSeconds },
      secret,
      'HS256',
    )
    issued.set(target, { credential, until: now + renewAfterSeconds })
    return credential
  }
}

const claims = z.object({ exp: z.number(), iat: z.number() })

/**
 * Lets through to a module's `/internal` routes whoever shows a credential made for it; 401 otherwise.
 * @param secrets each of them will do: while one takes the place of another there are two
 */
export function credentialGuard(secrets: readonly string[], module: string): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const credential = /^Bearer (\S+)$/i.exec(c.req.header('Authorization') ?? '')?.[1]
    if (!credential)
      throw new DomainError('unauthenticated', 'Authorization: a service credential is needed here')
    const verdicts = await Promise.all(secrets.map((secret) => isValid(credential, secret, module)))
    if (!verdicts.includes(true)) {
      throw new DomainError(
        'invalid_token',
        'Authorization: must be a current service credential for this module',
      )
    }
    await next()
  }
}

async function isValid(credential: string, secret: string, module: string): Promise<boolean> {
  const now = Date.now() / 1000
  try {
    // exp and iat are checked here, with tolerance for clocks and required to be there.
    const checks = { alg: 'HS256', aud: audience(module), exp: false, iat: false } as const
    const { exp, iat } = claims.parse(await verify(credential, secret, checks))
    return exp > now - clockSkewSeconds && iat < now + clockSkewSeconds && exp - iat <= lifetimeSeconds
  } catch {
    return false
  }
}
