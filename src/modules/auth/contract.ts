import { z } from '@hono/zod-openapi'
import type { Call } from '#kernel/call.ts'
import { definePort } from '#kernel/ports/port.ts'
import { type PublicKey, publicKey } from '#kernel/public-key.ts'

/** The operations of the auth module for other modules. With its keys, they verify access tokens themselves. */
export interface AuthPort {
  /**
   * Returns the keys that verify access tokens. Over HTTP, this is the public JWKS document (RFC 7517).
   * @throws DomainError `dependency_unavailable`
   */
  publicKeys(request: Record<never, never>, call: Call): Promise<PublicKey[]>
}

export const authPort = definePort<AuthPort>('auth', {
  publicKeys: { request: z.object({}), result: z.array(publicKey) },
})
