import { randomUUID } from 'node:crypto'
import { sign } from 'hono/jwt'
import type { SignatureKey } from 'hono/utils/jwt/jws'
import type { Role } from '#kernel/principal.ts'
import type { PrivateKey } from './signing-keys.ts'

export interface TokenIssuer {
  readonly lifetimeSeconds: number
  /** Creates an access token: a JWT (RFC 7519) signed with Ed25519 (RFC 8037). */
  issue(user: { userId: string; role: Role }): Promise<string>
}

export function createTokenIssuer(options: {
  key: PrivateKey
  issuer: string
  lifetimeSeconds: number
}): TokenIssuer {
  const { key, issuer, lifetimeSeconds } = options
  const { kty, crv, x, d, kid } = key
  // WebCrypto accepts the members of an OKP key, but Hono's type of a JWK does not list them.
  const jwk = { kty, crv, x, d, kid, alg: 'EdDSA' } as SignatureKey
  return {
    lifetimeSeconds,
    issue({ userId, role }) {
      const iat = Math.floor(Date.now() / 1000)
      const claims = {
        iss: issuer,
        aud: issuer,
        sub: userId,
        role,
        iat,
        exp: iat + lifetimeSeconds,
        jti: randomUUID(),
      }
      return sign(claims, jwk, 'EdDSA')
    },
  }
}
