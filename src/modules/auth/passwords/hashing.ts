import { availableParallelism } from 'node:os'
import bcrypt from 'bcrypt'
import type { Call } from '#kernel/call.ts'
import { createQueue } from '#kernel/queue.ts'
import { passwordBytes } from '../credentials.ts'

export interface Passwords {
  /** @throws DomainError `overloaded` when too many wait; `dependency_unavailable` at the deadline */
  hash(password: string, call: Call): Promise<string>
  /**
   * Without a hash (an unknown account) it takes as long, and is false.
   * @param around is called with the comparison when it is its turn, and decides whether and when to make it
   */
  verify(
    password: string,
    hash: string | undefined,
    call: Call,
    around?: (compare: () => Promise<boolean>) => Promise<boolean>,
  ): Promise<boolean>
  /** Whether the hash was made when `BCRYPT_COST` was lower. */
  isOutdated(hash: string): boolean
}

/**
 * bcrypt at `cost`. As many hashes at a time as there are cores but one, which everything else goes on with while people
 * sign in; and fewer than Node's pool has threads: with none left nobody could verify a token, look up a name or read a
 * file.
 * @param threads of Node's pool
 */
export function createPasswords({ cost, threads }: { cost: number; threads: number }): Passwords {
  const concurrency = Math.max(1, Math.min(availableParallelism(), threads) - 1)
  const inTurn = createQueue({
    name: 'the password check',
    maxConcurrent: concurrency,
    maxWaiting: concurrency * 64,
  })

  /** Takes as long as `cost` does, whatever the hash was made with: an account that is not upgraded yet looks like any. */
  const compare = async (password: string, hash: string): Promise<boolean> => {
    const matches = await bcrypt.compare(password, hash)
    // Each step of the cost doubles the work: c, c + 1, ... and cost - 1 together are what is missing to cost.
    for (let step = bcrypt.getRounds(hash); step < cost; step++) await bcrypt.compare(password, nobody(step))
    return matches
  }

  return {
    hash: (password, call) => inTurn(call, () => bcrypt.hash(password, cost)),
    verify: (password, hash, call, around = (work) => work()) =>
      inTurn(call, () =>
        around(async () => {
          const matches = await compare(password, hash ?? nobody(cost))
          // bcrypt stops reading after 72 bytes; half a character becomes U+FFFD, as which somebody may have one.
          const whole = Buffer.byteLength(password) <= passwordBytes && password.isWellFormed()
          return matches && hash !== undefined && whole
        }),
      ),
    isOutdated: (hash) => bcrypt.getRounds(hash) < cost,
  }
}

/** The hash of no password. */
const nobody = (cost: number): string => `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`
