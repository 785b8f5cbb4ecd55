import bcrypt from 'bcrypt'
import type { Call } from '#kernel/call.ts'
import type { Metrics } from '#kernel/metrics.ts'
import { passwordBytes } from '../credentials.ts'
import { createHashQueue } from './hash-queue.ts'
import { lowerPoolPriority } from './pool-priority.ts'

export interface Passwords {
  /**
   * To be called before other work of a request that hashes.
   * @throws DomainError `overloaded` if the request would have to wait too long for a thread
   */
  requirePlace(call: Call): void
  /** @throws DomainError `overloaded` when too many wait; `dependency_unavailable` at the deadline */
  hash(password: string, call: Call): Promise<string>
  /**
   * Compares a password with a hash. For an unknown account, which has no hash, the comparison takes as long and fails.
   * @param around gets the comparison once a thread is free, and decides whether to make it
   * @throws DomainError as `hash`, and every error of `around`
   */
  verify(
    password: string,
    hash: string | undefined,
    call: Call,
    around?: (compare: () => Promise<boolean>) => Promise<boolean>,
  ): Promise<boolean>
  /** Whether the hash has a lower cost than `BCRYPT_COST`. */
  isOutdated(hash: string): boolean
}

// A hash of a lower cost takes no longer than a request.
const minCostOfLowPriority = 8

/**
 * Hashes passwords with bcrypt, in a queue that leaves a core and a thread to other work, and at a lower priority than requests.
 * @param cost the cost of new hashes, as `BCRYPT_COST`
 * @param threads the number of threads in Node.js's pool
 */
export function createPasswords({
  cost,
  threads,
  metrics,
}: {
  cost: number
  threads: number
  metrics: Metrics
}): Passwords {
  const queue = createHashQueue(threads, metrics)
  let lowered: Promise<void> | undefined
  const inQueue = <T>(call: Call, work: () => Promise<T>) =>
    queue(call, async () => {
      if (cost >= minCostOfLowPriority) lowered ??= lowerPoolPriority()
      await lowered
      return work()
    })
  return {
    requirePlace: queue.requirePlace,
    hash: (password, call) => inQueue(call, () => bcrypt.hash(password, cost)),
    verify: (password, hash, call, around = (compare) => compare()) =>
      inQueue(call, () =>
        around(async () => {
          const matches = await compare(password, hash ?? dummyHash(cost), cost)
          // bcrypt ignores bytes after the 72nd. An unpaired surrogate becomes U+FFFD, which another password may contain.
          const isComplete = Buffer.byteLength(password) <= passwordBytes && password.isWellFormed()
          return matches && hash !== undefined && isComplete
        }),
      ),
    isOutdated: (hash) => bcrypt.getRounds(hash) < cost,
  }
}

/** Takes as long for a hash of a lower cost as for one of `cost`, so that the time does not reveal old accounts. */
async function compare(password: string, hash: string, cost: number): Promise<boolean> {
  const matches = await bcrypt.compare(password, hash)
  // Each step of the cost doubles the work, so that the costs c, c + 1, ... and cost - 1 together add what c lacks.
  for (let step = bcrypt.getRounds(hash); step < cost; step++) await bcrypt.compare(password, dummyHash(step))
  return matches
}

/** A hash that no password matches. */
const dummyHash = (cost: number): string => `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`
