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
  const insert = batched<OrderDocument, boolean>(
    {
      name: 'the orders to be stored',
      maxConcurrent: 2,
      maxWaiting: maxWaitingOrders,
      maxBatchWeight: maxLinesPerCommand,
      weightOf: ({ lines }) => lines.length,
      metrics: batchMetrics(database.metrics, 'orders.insert'),
    },
    splitOnFailure((batch, call) =>
      insertBatch(
        database,
        batch.map(({ request }) => request),
        call,
      ),
    ),
  )
  /**
   * @param by `StatusChange.by` of the order's status
   * @returns false if there is another order with this id, or if the user has another one with this key
   */
  return async (order: Order, by: string, call: Call): Promise<boolean> => {
    const isInserted = await insert(toDocument(order, by), call)
    if (isInserted) count('new', order.status)
    return isInserted
  }
}

async function insertBatch(
  database: Database,
  documents: readonly OrderDocument[],
  call: Call,
): Promise<(boolean | Error)[]> {
  const orders = orderModel(database)
  const within = shortenDeadline(call, writeTimeoutMs)
  const command = { insert: orders.collection.name, documents }
  const { failures } = await database.run('orders.insert', within, (maxTimeMS) =>
    sendWrites(database.connection, command, { maxTimeMS, ordered: false }),
  )
  const duplicates = documents.filter((_, at) => isDuplicateKey(failures.get(at)))
  const storedStepIds = new Set<string>()
  if (duplicates.length > 0) {
    // An earlier attempt may have stored these orders without an answer. The ids of their first steps tell them from other orders.
    const filter = { $or: duplicates.map(({ userId, _id }) => ({ userId, _id })) }
    const stored = await database.run('orders.verify', within, (maxTimeMS) =>
      orders.find(filter, { steps: 1 }).maxTimeMS(maxTimeMS).lean(),
    )
    for (const { steps: [first] = [] } of stored) if (first) storedStepIds.add(first.id)
  }
  return documents.map(({ steps: [first] = [] }, at) => {
    const failure = failures.get(at)
    if (!failure || (first && storedStepIds.has(first.id))) return true
    return isDuplicateKey(failure) ? false : writeErrorOf(failure)
  })
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
