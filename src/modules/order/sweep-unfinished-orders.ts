import { randomUUID } from 'node:crypto'
import { type Call, createCall } from '#kernel/call.ts'
import type { DomainError } from '#kernel/errors.ts'
import type { Job } from '#kernel/jobs.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { ProductPort } from '../product/contract.ts'
import { completeCancelling } from './cancel-order.ts'
import type { OrderRepository } from './order.repository.ts'
import type { Order } from './order.ts'
import type { OrderScans } from './order-scans.repository.ts'

/** After its lease, a `pending` order waits this long for a retry, which completes the order instead of undoing it. */
export const pendingGraceMs = 10_000
const maxOrdersPerRound = 200
const maxConcurrent = 25
/** A round ends after this many failures: probably all other orders would fail too. */
const maxFailures = 5
/** The work on one order has at least this long, however short REQUEST_TIMEOUT is: no client waits for it. */
const minOrderTimeoutMs = 4_000

/** The time for the work on one order. */
export const orderTimeoutMs = (requestTimeoutMs: number): number =>
  Math.max(requestTimeoutMs, minOrderTimeoutMs)

interface Options {
  orders: OrderRepository
  scans: OrderScans
  product: ProductPort
  /** The error with which the database or the product module would refuse the work. */
  refusal: () => DomainError | undefined
  requestTimeoutMs: number
  metrics: Metrics
}

const lag = {
  name: 'trivet_sweeper_lag_seconds',
  help: 'Time since the last change of the oldest order that is neither confirmed nor refused nor cancelled completely',
}

/**
 * Finishes abandoned orders: undoes those that are `pending`, and completes those that are `cancelling`. Each process that
 * hosts the order module runs this job. The lease keeps two processes from working on the same order. If both stall for
 * longer than the lease lasts, they only repeat steps that are safe to repeat.
 */
export function sweepUnfinishedOrders(options: Options): Job {
  let oldestSince: Date | undefined
  // The value grows between the rounds, so that it also shows a sweeper that hangs.
  const lagSeconds = () => (oldestSince ? Math.max(0, Date.now() - oldestSince.getTime()) / 1_000 : 0)
  options.metrics.gauge(lag, lagSeconds)
  return {
    name: 'sweep unfinished orders',
    intervalMs: 2_000,

    async round(signal, span) {
      const timeoutMs = orderTimeoutMs(options.requestTimeoutMs)
      const newCall = () => createCall(timeoutMs, `sweep-${randomUUID()}`, span)
      oldestSince = await options.scans.oldestUnfinishedSince(newCall())
      // The round would only move the leases of orders that cannot be finished now. The next one is soon, so that it need not fail.
      if (options.refusal()?.code === 'dependency_unavailable') return { done: 0, more: false }
      const now = Date.now()
      const since = { pendingSince: now - pendingGraceMs, cancellingSince: now }
      const unfinished = await options.scans.unfinished({ ...since, limit: maxOrdersPerRound }, newCall())
      const rest = unfinished.values()
      let finished = 0
      const failures: unknown[] = []
      const work = async () => {
        for (const order of rest) {
          // One failed order does not stop the others. Several failures probably mean that the product service is unavailable.
          if (signal.aborted || failures.length >= maxFailures) return
          try {
            if (await finishOrder(options, order, 'sweeper', newCall())) finished += 1
          } catch (error) {
            failures.push(error)
          }
        }
      }
      await Promise.all(Array.from({ length: maxConcurrent }, work))
      if (failures.length > 0) throw failures[0]
      return { done: finished, more: unfinished.length === maxOrdersPerRound }
    },
  }
}

/**
 * Undoes or completes an order whose lease has ended.
 * @param order the order as it was read
 * @param by `StatusChange.by`
 * @returns false if another process has changed the order since
 * @throws DomainError `dependency_unavailable`, `overloaded`: another process may finish the order after its new lease
 */
export async function finishOrder(
  { orders, product }: Pick<Options, 'orders' | 'product'>,
  order: Order,
  by: string,
  call: Call,
): Promise<boolean> {
  const { deadline } = call
  const taken =
    order.status === 'pending'
      ? await orders.beginUndo(order, deadline, by, call)
      : await orders.takeOver(order, deadline, call)
  if (!taken) return false
  await completeCancelling({ orders, product }, taken, by, call)
  return true
}
