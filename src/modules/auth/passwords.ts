import { availableParallelism } from 'node:os'
import bcrypt from 'bcrypt'
import pLimit from 'p-limit'
import { DomainError } from '../../kernel/errors.ts'
import { passwordBytes } from './credentials.ts'

export interface Passwords {
  hash(password: string): Promise<string>
  /** Without a hash (an unknown account) it takes as long, and is false. */
  verify(password: string, hash: string | undefined): Promise<boolean>
}

/** bcrypt at `cost`, at most one hash per core at a time: more would only fill Node's thread pool. */
export function createPasswords(cost: number): Passwords {
  const cores = availableParallelism()
  const turns = pLimit(cores)
  const bound = cores * 64
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    if (turns.pendingCount >= bound) {
      throw new DomainError('overloaded', 'too many sign-ins and registrations at once; try again shortly')
    }
    return turns(work)
  }
  let unknownAccount: Promise<string> | undefined

  return {
    hash: async (password) => inTurn(() => bcrypt.hash(password, cost)),
    async verify(password, hash) {
      unknownAccount ??= bcrypt.hash('nobody has this password', cost)
      const against = hash ?? (await unknownAccount)
      const matches = await inTurn(() => bcrypt.compare(password, against))
      return matches && hash !== undefined && Buffer.byteLength(password) <= passwordBytes
    },
  }
}
