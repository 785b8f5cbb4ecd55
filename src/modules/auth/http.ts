import { z } from '@hono/zod-openapi'
import { dependencyUnavailable } from '#kernel/errors.ts'
import type { HttpClient } from '#kernel/ports/http-client.ts'
import { type PublicKey, publicKey } from '#kernel/public-key.ts'
import type { AuthPort } from './contract.ts'

// Keys of kinds that this version does not know are for others; unknown members are ignored.
const keySet = z.object({ keys: z.array(z.unknown()) })

function publicKeysOf(answer: unknown): PublicKey[] {
  const document = keySet.safeParse(answer)
  if (!document.success) throw dependencyUnavailable('auth answered with something else than a key set')
  const keys = document.data.keys.flatMap((key) => publicKey.safeParse(key).data ?? [])
  if (keys.length === 0) throw dependencyUnavailable('auth answered with a key set that has no keys')
  return keys
}

/** The port over HTTP: the public JWKS, which needs no credential. */
export function connectAuth(http: HttpClient): AuthPort {
  let answered = false
  return {
    async publicKeys(_request, call) {
      const keys = await http.request(call, {
        method: 'GET',
        path: '/.well-known/jwks.json',
        parse: publicKeysOf,
        // Without keys no access token can be verified, so the first fetch is repeated like any call. Later ones have a rhythm of their
        // own (`createKeyCache`), which requests with unknown kids must not multiply.
        ...(answered && { maxAttempts: 1 }),
      })
      answered = true
      return keys
    },
  }
}
