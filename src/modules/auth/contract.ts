import { z } from '@hono/zod-openapi'
import type { Call } from '#kernel/call.ts'
import { definePort } from '#kernel/ports/port.ts'
import { type PublicKey, publicKey } from '#kernel/public-key.ts'

/** What the auth module does for others: it lets them verify its tokens by themselves. */
export interface AuthPort {
  /**
   * Every key that verifies access tokens now. Over HTTP this is the public JWKS document (RFC 7517).
   * @throws DomainError `dependency_unavailable`
   */
  publicKeys(request: Record<never, never>, call: Call): Promise<PublicKey[]>
}

export const authPort = definePort<AuthPort>('auth', {
  publicKeys: { request: z.object({}), result: z.array(publicKey) },
})
