import { z } from '@hono/zod-openapi'
import { publicKey } from '../../kernel/auth-guard.ts'
import { dependencyUnavailable } from '../../kernel/errors.ts'
import type { HttpClient } from '../../kernel/http-client.ts'
import type { AuthPort } from './contract.ts'

// Keys of kinds that this version does not know are for others; unknown members are ignored.
const keySet = z.object({ keys: z.array(z.unknown()) })

/** The port over HTTP: the public JWKS, which needs no credential. */
export const connectAuth = (http: HttpClient): AuthPort => ({
  publicKeys: (_request, call) =>
    http.request(call, {
      method: 'GET',
      path: '/.well-known/jwks.json',
      // Who asks has a rhythm of his own, which strangers who show unknown kids must not multiply.
      attempts: 1,
      parse(answer) {
        const document = keySet.safeParse(answer)
        if (!document.success) throw dependencyUnavailable('auth answered with something else than a key set')
        return document.data.keys.flatMap((key) => publicKey.safeParse(key).data ?? [])
      },
    }),
})
