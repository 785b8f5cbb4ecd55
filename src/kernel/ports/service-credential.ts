import { z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { sign, verify } from 'hono/jwt'
import { DomainError } from '#kernel/errors.ts'
import type { AppEnv } from '#kernel/http/app-env.ts'

// A leaked credential expires soon. A current one is valid even if the clocks of the two services differ by half a minute.
const lifetimeSeconds = 60
const renewAfterSeconds = 20
const clockSkewSeconds = 30

const audience = (module: string) => `trivet-internal:${module}`

/** Returns a credential that is valid for one target module only. */
export type CredentialIssuer = (target: string) => Promise<string>

export function createCredentialIssuer(secret: string): CredentialIssuer {
  const issued = new Map<string, { credential: string; renewAtSeconds: number }>()
  return async (target) => {
    const now = Math.floor(Date.now() / 1000)
    const current = issued.get(target)
    if (current && current.renewAtSeconds > now) return current.credential
    const credential = await sign(
      { aud: audience(target), iat: now, exp: now + lifetimeSeconds },
      secret,
      'HS256',
    )
    issued.set(target, { credential, renewAtSeconds: now + renewAfterSeconds })
    return credential
  }
}

const claims = z.object({ exp: z.number(), iat: z.number() })

/**
 * Protects the `/internal` routes of a module: a request without a valid credential for this module gets 401.
 * @param secrets a credential that was signed with any of them is valid. There are two while the secret is being
 * replaced
 */
export function credentialGuard(secrets: readonly string[], module: string): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const credential = /^Bearer (\S+)$/i.exec(c.req.header('Authorization') ?? '')?.[1]
    if (!credential)
      throw new DomainError('unauthenticated', 'Authorization: must be "Bearer <service credential>"')
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
    // `verify` would tolerate no difference between clocks, so that exp and iat are checked below instead.
    const checks = { alg: 'HS256', aud: audience(module), exp: false, iat: false } as const
    const { exp, iat } = claims.parse(await verify(credential, secret, checks))
    return exp > now - clockSkewSeconds && iat < now + clockSkewSeconds && exp - iat <= lifetimeSeconds
  } catch {
    return false
  }
}
