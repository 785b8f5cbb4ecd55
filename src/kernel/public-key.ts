import { z } from '@hono/zod-openapi'

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
