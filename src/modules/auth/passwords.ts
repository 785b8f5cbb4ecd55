import { availableParallelism } from 'node:os'
import bcrypt from 'bcrypt'
import type { Call } from '../../kernel/call.ts'
import { createQueue } from '../../kernel/queue.ts'
import { passwordBytes } from './credentials.ts'

export interface Passwords {
  /** @throws DomainError `overloaded` when too many wait; `dependency_unavailable` at the deadline */
  hash(password: string, call: Call): Promise<string>
  /** Without a hash (an unknown account) it takes as long, and is false. */
  verify(password: string, hash: string | undefined, call: Call): Promise<boolean>
}

/** bcrypt at `cost`, at most one hash per core at a time: more would only fill Node's thread pool. */
export function createPasswords(cost: number): Passwords {
  const cores = availableParallelism()
  const inTurn = createQueue({ name: 'the password check', concurrency: cores, bound: cores * 64 })
  // Of no password: what an unknown account is compared with, at the same cost.
  const nobody = bcrypt.genSalt(cost).then((salt) => `${salt}${'.'.repeat(31)}`)

  return {
    hash: (password, call) => inTurn(call, () => bcrypt.hash(password, cost)),
    async verify(password, hash, call) {
      const matches = await inTurn(call, async () => bcrypt.compare(password, hash ?? (await nobody)))
      return matches && hash !== undefined && Buffer.byteLength(password) <= passwordBytes
    },
  }
}
