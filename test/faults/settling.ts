import { setTimeout as sleep } from 'node:timers/promises'
import type { RunningShop } from './fleet.ts'

// What is promised: within 30 s after the last fault has healed, with nobody retrying anything.
const limit = 30_000

/**
 * Waits until no order is pending or cancelling.
 * @param healed when the last fault was over
 * @returns milliseconds from then
 * @throws if some order still is when the time is over
 */
export async function settled(fleet: RunningShop, healed: number): Promise<number> {
  const orders = (await fleet.collections('order')).collection('orders')
  for (;;) {
    const unfinished = await orders.find({ status: { $in: ['pending', 'cancelling'] } }).toArray()
    const took = Date.now() - healed
    if (unfinished.length === 0) return took
    if (took > limit) throw new Error(`not settled within ${limit} ms: ${JSON.stringify(unfinished)}`)
    await sleep(100)
  }
}
