import { Types } from 'mongoose'
import { batched } from '#kernel/batching.ts'
import { type Call, shortenDeadline } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { isDuplicateKey } from '#kernel/mongo/errors.ts'
import { sendWrites } from '#kernel/mongo/plain-commands.ts'
import { batchMetrics } from '#kernel/queue-metrics.ts'
import { splitOnFailure } from '#kernel/split-on-failure.ts'
import type { Order } from './order.ts'
import {
  maxLinesPerCommand,
  maxWaitingOrders,
  writeErrorOf,
  writeTimeoutMs,
} from './order-changes.repository.ts'
import { type OrderDocument, orderModel } from './order-document.repository.ts'
import { newId } from './order-transitions.repository.ts'
import type { CountTransition } from './transition-count.ts'

/** Inserts that wait are sent to MongoDB in one command. */
export function createInsert(database: Database, count: CountTransition) {
  const orders = orderModel(database)
  const insert = batched<OrderDocument, boolean>(
    {
      name: 'the orders to be stored',
      maxConcurrent: 2,
      maxWaiting: maxWaitingOrders,
      maxBatchWeight: maxLinesPerCommand,
      weightOf: ({ lines }) => lines.length,
      metrics: batchMetrics(database.metrics, 'orders.insert'),
    },
    splitOnFailure(async (batch, call) => {
      const documents = batch.map(({ request }) => request)
      const { failures } = await database.run(
        'orders.insert',
        shortenDeadline(call, writeTimeoutMs),
        (maxTimeMS) =>
          sendWrites(
            database.connection,
            { insert: orders.collection.name, documents },
            { maxTimeMS, ordered: false },
          ),
      )
      return documents.map((_, at) => {
        const failure = failures.get(at)
        if (!failure) return true
        return isDuplicateKey(failure) ? false : writeErrorOf(failure)
      })
    }),
  )
  /**
   * @param by `StatusChange.by` of the order's status
   * @returns false if there is an order with this id, or if the user has one with this key. It may be this order: an earlier attempt
   * may have stored it
   */
  return async (order: Order, by: string, call: Call): Promise<boolean> => {
    const isInserted = await insert(toDocument(order, by), call)
    if (isInserted) count('new', order.status)
    return isInserted
  }
}

function toDocument(order: Order, by: string): OrderDocument {
  const { orderId, userId, key, currency, leaseUntil, isUndone, confirmation, rejection, ...fields } = order
  const { status, updatedAt: at } = order
  return {
    _id: new Types.ObjectId(orderId),
    userId: new Types.ObjectId(userId),
    ...(key !== undefined && { key }),
    ...fields,
    ...(currency !== undefined && { currency }),
    leaseUntil: new Date(leaseUntil),
    ...(isUndone && { undo: true }),
    ...(status !== 'pending' && { steps: [{ id: newId(), status, at, by }] }),
    ...(confirmation && { confirmation }),
    ...(rejection && { rejection }),
  }
}
