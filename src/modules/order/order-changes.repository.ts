import type mongoose from 'mongoose'
import { Types } from 'mongoose'
import { batched, type QueuedRequest } from '#kernel/batching.ts'
import { type Call, shortenDeadline } from '#kernel/call.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { isUnavailable } from '#kernel/mongo/errors.ts'
import { sendWrites } from '#kernel/mongo/plain-commands.ts'
import { batchMetrics } from '#kernel/queue-metrics.ts'
import { splitOnFailure } from '#kernel/split-on-failure.ts'
import type { Order } from './order.ts'
import { type OrderDocument, orderModel } from './order-document.repository.ts'

// A line has a kilobyte at most, and a command 16 MiB.
export const maxLinesPerCommand = 1_000
export const maxWaitingOrders = 2_000
export const writeTimeoutMs = 2_000

/** The compare-and-set of one order. */
export interface OrderChange {
  stepId: string
  /** `StatusChange.by`. Undefined if the change only moves the lease. */
  statusChangedBy: string | undefined
  /** The fields and values that the stored order must still have. */
  expected: mongoose.mongo.Filter<OrderDocument>
  /** The order as this change leaves it. */
  next: Order
}

/** @returns `next`, or undefined if the stored order did not match `expected` */
export type CompareAndSet = (change: OrderChange, call: Call) => Promise<Order | undefined>

/** Changes that wait are sent to MongoDB in one command, in which each keeps its own condition. */
export function createCompareAndSet(database: Database): CompareAndSet {
  const options = {
    name: 'the orders to be changed',
    maxConcurrent: 1,
    maxWaiting: maxWaitingOrders,
    maxBatchWeight: maxLinesPerCommand,
    weightOf: ({ next }: OrderChange) => next.lines.length,
    metrics: batchMetrics(database.metrics, 'orders.change'),
  }
  return batched<OrderChange, Order | undefined>(
    options,
    splitOnFailure((batch, call) => writeBatch(database, batch, call)),
  )
}

async function writeBatch(
  database: Database,
  batch: readonly QueuedRequest<OrderChange>[],
  call: Call,
): Promise<(Order | Error | undefined)[]> {
  const changes = batch.map(({ request }) => request)
  const within = shortenDeadline(call, writeTimeoutMs)
  // Causal consistency makes the read below see at least these writes, even if another server became primary in between.
  const session = await database.connection.startSession({ causalConsistency: true })
  try {
    const command = { update: orderModel(database).collection.name, updates: changes.map(updateOf) }
    const { failures, count } = await database.run('orders.change', within, (maxTimeMS) =>
      sendWrites(database.connection, command, { session, maxTimeMS, ordered: false }),
    )
    if (count === changes.length) return changes.map(({ next }) => next)
    // MongoDB reports how many changes were lost, but not which ones. The stored ids of steps tell them apart.
    const filter = { $or: changes.map(({ next }) => ({ userId: next.userId, _id: next.orderId })) }
    const stored = await database.run('orders.verify', within, (maxTimeMS) =>
      orderModel(database).find(filter, null, { session }).maxTimeMS(maxTimeMS).lean(),
    )
    const tookEffect = new Set(stored.flatMap(stepIdsOf))
    return changes.map(({ stepId, next }, at) => {
      const failure = failures.get(at)
      if (failure) return writeErrorOf(failure)
      return tookEffect.has(stepId) ? next : undefined
    })
  } finally {
    void session.endSession().catch(() => undefined)
  }
}

/** The error to throw for one write of a command whose other writes may have succeeded. */
export const writeErrorOf = (failure: Error): Error =>
  isUnavailable(failure) ? dependencyUnavailable('the database is not available', failure) : failure

/**
 * The ids of all changes of status, and of the last takeover. Keeping only the last takeover is enough: a second takeover
 * waits until the lease of the first one has ended.
 */
const stepIdsOf = ({ steps, stepId }: OrderDocument): (string | undefined)[] =>
  Array.isArray(steps) ? [...steps.map((step) => step?.id), stepId] : [stepId]

/** Sets every field that a change may touch. */
const updateOf = ({ stepId, statusChangedBy: by, expected, next }: OrderChange) => {
  const { lines, totalAmount, currency, status, version, isUndone, confirmation, rejection, updatedAt } = next
  const leaseUntil = new Date(next.leaseUntil)
  return {
    q: { userId: new Types.ObjectId(next.userId), _id: new Types.ObjectId(next.orderId), ...expected },
    hint: { _id: 1 },
    u: {
      $set: {
        ...{
          lines,
          totalAmount,
          currency,
          status,
          version,
          confirmation,
          rejection,
          leaseUntil,
          updatedAt,
        },
        ...(isUndone && { undo: true }),
        ...(by === undefined && { stepId }),
      },
      ...(by !== undefined && { $push: { steps: { id: stepId, status, at: updatedAt, by } } }),
      ...(next.key === undefined && { $unset: { key: 1 } }),
    },
  }
}
