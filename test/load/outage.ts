import { setTimeout as sleep } from 'node:timers/promises'
import { vi } from 'vitest'
import { type Answer, type Load, percentile } from './buyers.ts'
import type { Services } from './services.ts'

/** How a load was answered while a neighbour was away, and after it was back. */
export interface Outage {
  slowestMs: number
  /** The 99th percentile of the requests that were sent once the neighbour had been away for some time. */
  p99LaterMs: number
  /** The number of requests behind `p99LaterMs`. */
  later: number
  /** The time from the return of the neighbour to the last request that failed, and to the first one that succeeded. */
  normalAfterMs: number
}

/**
 * Takes a neighbour away under load, and brings it back.
 * @param options.laterAfterMs the time after which requests count as later
 * @param options.bringBack resolves when the neighbour can work again
 */
export async function measureOutage(
  load: Load,
  options: {
    takeAway: () => unknown
    lastsMs: number
    laterAfterMs: number
    bringBack: () => unknown
    whileAway?: () => Promise<void>
  },
): Promise<Outage> {
  const { takeAway, lastsMs, laterAfterMs, bringBack, whileAway } = options
  const before = load.answers.length
  await takeAway()
  const awayAt = performance.now()
  await sleep(lastsMs)
  await whileAway?.()
  const returningAt = performance.now()
  await bringBack()
  const backAt = performance.now()
  const isAfter = ({ sentAt, ms }: Answer) => sentAt + ms > backAt
  await vi.waitUntil(
    () => load.answers.slice(before).some((answer) => isAfter(answer) && succeeded(answer)),
    {
      timeout: 60_000,
    },
  )
  // Requests that fail later would show that the neighbour counts as away again.
  await sleep(1_500)
  const answers = load.answers.slice(before)
  const during = answers.filter(({ sentAt }) => sentAt >= awayAt && sentAt < returningAt)
  const later = during.filter(({ sentAt }) => sentAt >= awayAt + laterAfterMs)
  const after = answers.filter(isAfter)
  const endOf = ({ sentAt, ms }: Answer) => sentAt + ms - backAt
  return {
    slowestMs: largest(answers.map(({ ms }) => ms)),
    p99LaterMs: percentile(
      later.map(({ ms }) => ms),
      0.99,
    ),
    later: later.length,
    normalAfterMs: Math.max(
      endOf(after.find(succeeded) as Answer),
      largest(after.filter((answer) => !succeeded(answer)).map(endOf)),
    ),
  }
}

/** There may be more values than a function can have arguments. */
const largest = (values: readonly number[]): number => values.reduce((one, other) => Math.max(one, other), 0)

const succeeded = ({ status }: Answer) => status === 200 || status === 201

/** The number of orders that are not finished, or were placed in vain and undone. */
export async function countLeftOrders(services: Services): Promise<{ unfinished: number; undone: number }> {
  const orders = (await services.collections('order')).collection('orders')
  const [unfinished, undone] = await Promise.all([
    orders.countDocuments({ status: { $in: ['pending', 'cancelling'] } }),
    orders.countDocuments({ undo: true }),
  ])
  return { unfinished, undone }
}

/** @returns the milliseconds until no order is unfinished */
export async function untilSettled(services: Services): Promise<number> {
  const since = performance.now()
  await vi.waitFor(
    async () => {
      const { unfinished } = await countLeftOrders(services)
      if (unfinished > 0) throw new Error(`${unfinished} orders are unfinished`)
    },
    { timeout: 120_000, interval: 100 },
  )
  return performance.now() - since
}
