import { availableParallelism } from 'node:os'
import bcrypt from 'bcrypt'
import pLimit from 'p-limit'
import { type Call, remaining, withinDeadline } from '../../kernel/call.ts'
import { DomainError, dependencyUnavailable } from '../../kernel/errors.ts'
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
  const turns = pLimit(cores)
  const bound = cores * 64
  const inTurn = async <T>(call: Call, work: () => Promise<T>): Promise<T> => {
    if (turns.pendingCount >= bound) {
      throw new DomainError('overloaded', 'too many sign-ins and registrations at once; try again shortly')
    }
    const turn = turns(() => {
      // Hashing for those who are gone would make everybody behind them late as well.
      if (remaining(call) <= 0) throw dependencyUnavailable('the time for this request is over')
      return work()
    })
    return withinDeadline(call, 'the password check', turn)
  }
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
