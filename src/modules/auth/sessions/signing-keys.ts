import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { z } from '@hono/zod-openapi'
import type { PublicKey } from '#kernel/public-key.ts'

import { readOrCreateSecret } from '../secret-file.ts'

const privateKey = z.object({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  kid: z.string().min(1).max(200),
  x: z.string(),
  d: z.string(),
})
export type PrivateKey = z.infer<typeof privateKey>

const expected = 'must be a JSON array of private Ed25519 JWKs (kty OKP, crv Ed25519, kid, x, d)'

/**
 * Parses JWT_PRIVATE_KEYS. The first key signs, and all keys verify.
 * @throws Error that says what is wrong, without any part of a key
 */
export function parsePrivateKeys(json: string): [PrivateKey, ...PrivateKey[]] {
  let keys: PrivateKey[]
  try {
    keys = z.array(privateKey).min(1).parse(JSON.parse(json))
  } catch {
    throw new Error(expected)
  }
  for (const [at, key] of keys.entries()) {
    // The message has the key's position, not its `kid`: after a mix-up of the members, `kid` may contain the private key.
    if (!isPair(key)) throw new Error(`${expected}; x and d of key ${at + 1} are not a pair`)
  }
  if (new Set(keys.map((key) => key.kid)).size < keys.length)
    throw new Error(`${expected}, each with its own kid`)
  return keys as [PrivateKey, ...PrivateKey[]]
}

function isPair({ kty, crv, x, d }: PrivateKey): boolean {
  try {
    const derived = createPublicKey(createPrivateKey({ key: { kty, crv, x, d }, format: 'jwk' }))
    return derived.export({ format: 'jwk' }).x === x
  } catch {
    return false
  }
}

// The public parts (`x`) of published example keys.
const examples = new Set([
  '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo', // RFC 8037, appendix A, and RFC 8032, 7.1, test 1
  'PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw', // RFC 8032, 7.1, test 2
  '_FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU', // RFC 8032, 7.1, test 3
  'Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE', // RFC 8410, 10.3
  'O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik', // the private part (`d`) is 32 zero bytes
])

/** Whether the key is published as an example, so that every attacker knows it. */
export const isExample = ({ x }: PrivateKey): boolean => examples.has(x)

export const publicKeyOf = ({ kid, x }: PrivateKey): PublicKey => ({
  kty: 'OKP',
  crv: 'Ed25519',
  alg: 'EdDSA',
  use: 'sig',
  kid,
  x,
})

export function generatePrivateKey(): PrivateKey {
  const { x = '', d = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  // The thumbprint of the key (RFC 7638): a hash of the required members in lexical order.
  const kid = createHash('sha256')
    .update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x }))
    .digest('base64url')
  return { kty: 'OKP', crv: 'Ed25519', kid, x, d }
}

/** Signing keys for development. They are kept in DATA_DIR, so that tokens stay valid after a restart. */
export async function developmentKeys(dataDir: string): Promise<[PrivateKey, ...PrivateKey[]]> {
  return readOrCreateSecret(dataDir, 'jwt-private-keys.json', {
    create: () => JSON.stringify([generatePrivateKey()]),
    read: parsePrivateKeys,
  })
}
