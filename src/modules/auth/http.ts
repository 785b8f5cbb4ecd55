import { z } from '@hono/zod-openapi'
import { dependencyUnavailable } from '#kernel/errors.ts'
import type { HttpClient } from '#kernel/ports/http-client.ts'
import type { Offer } from '#kernel/ports/port.ts'
import { type PublicKey, publicKey } from '#kernel/public-key.ts'
import { inSpan } from '#kernel/tracing.ts'
import type { AuthPort } from './contract.ts'

// Unknown members, and keys of unknown types, are ignored, because a later version may publish them.
const keySet = z.object({ keys: z.array(z.unknown()) })

function publicKeysOf(answer: unknown): PublicKey[] {
  const document = keySet.safeParse(answer)
  if (!document.success) throw dependencyUnavailable('the answer of auth is not a key set')
  const keys = document.data.keys.flatMap((key) => publicKey.safeParse(key).data ?? [])
  if (keys.length === 0) throw dependencyUnavailable('the key set of auth has no Ed25519 keys')
  return keys
}

/**
 * The port over HTTP. It reads the public JWKS document, which needs no credential. That document needs no database, so that the
 * probe need not read more than /healthz.
 */
export function connectAuth(http: HttpClient): Offer<AuthPort> {
  let hasAnswered = false
  const port: AuthPort = {
    async publicKeys(_request, call) {
      const keys = await inSpan(call, 'auth.publicKeys', { kind: 'client' }, (within) =>
        http.request(within, {
          method: 'GET',
          path: '/.well-known/jwks.json',
          parse: publicKeysOf,
          // The first fetch is retried like every call, because no access token can be verified without keys. `createKeyCache`
          // limits how often later fetches start, and retries would exceed that limit.
          ...(hasAnswered && { maxAttempts: 1 }),
        }),
      )
      hasAnswered = true
      return keys
    },
  }
  return { port, refusal: http.refusal }
}
