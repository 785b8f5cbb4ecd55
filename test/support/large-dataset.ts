import { mongo } from 'mongoose'
import type { Collections, Db } from './collections.ts'

const { ObjectId } = mongo

const secondMs = 1_000
const hourMs = 3_600 * secondMs

/** Makes `count` documents in an order that does not match their place in any list. */
const scattered = <T>(count: number, make: (place: number) => T): T[] =>
  Array.from({ length: count }, (_, at) => make((at * 7_919) % count))

/** Gives the middle third of all places one value, so that more rows have it than a page holds. */
const partlyEqual = (place: number, count: number): number =>
  Math.round(Math.min(place, count / 3) + Math.max(0, place - (2 * count) / 3))

/** The state of the reservation of an order in each status. */
const reservationStates = {
  pending: undefined,
  confirmed: 'held',
  shipped: 'held',
  delivered: 'held',
  cancelling: 'held',
  cancelled: 'released',
  rejected: 'rejected',
} as const
type Status = keyof typeof reservationStates
const statuses = Object.keys(reservationStates) as Status[]

/** Half of the orders are rejected. */
const orderStatuses: Status[] = [...statuses, ...statuses.map(() => 'rejected' as const)]

const fill = async (db: Db, collection: string, documents: readonly object[]) => {
  await db.collection(collection).insertMany([...documents])
}

/**
 * Inserts thousands of documents into each collection of a shop. Many are equal in the fields that lists are sorted by,
 * and most of them match no single query. The books of each product balance.
 * @param userIds the users that get orders
 */
export async function insertLargeDataset(
  { collections }: Collections,
  userIds: readonly string[],
): Promise<void> {
  const [auth, product, order] = await Promise.all(['auth', 'product', 'order'].map(collections))
  if (!auth || !product || !order) throw new Error('each module has a database')
  const now = new Date()
  const soon = new Date(Date.now() + 12 * hourMs)
  const ago = (place: number, count: number) =>
    new Date(Date.now() - hourMs - partlyEqual(place, count) * secondMs)

  const users = scattered(2_000, (place) => ({
    _id: new ObjectId(),
    username: `Somebody-${place}`,
    usernameKey: `somebody-${place}`,
    email: `Somebody-${place}@example.com`,
    emailKey: `somebody-${place}@example.com`,
    role: place % 20 === 0 ? 'admin' : 'customer',
    passwordHash: 'of no password',
    sessionEpoch: 0,
    createdAt: ago(place, 2_000),
  }))
  const others = Array.from({ length: 2_000 }, (_, at) => `somebody-${at}`)

  const products = scattered(3_000, (place) => {
    const price = partlyEqual(place, 3_000)
    const stock = place % 5 === 0 ? 0 : 10
    return {
      _id: new ObjectId(),
      // Products with equal prices have names that differ only in case.
      name: `${['Cup', 'cup', 'CUP'][place % 3]} ${String(price).padStart(4, '0')}`,
      description: 'Stoneware',
      price,
      stock,
      stocked: stock,
      inStock: stock > 0,
      version: 1,
      contentVersion: 1,
      deleted: place % 4 === 0,
      createdAt: ago(place, 3_000),
      updatedAt: now,
    }
  })

  const buyers = [...userIds.map((id) => new ObjectId(id)), ...users.slice(0, 2).map(({ _id }) => _id)]
  const orderCount = buyers.length * orderStatuses.length * 60
  const reservations: object[] = []
  const orders = scattered(orderCount, (place) => {
    const _id = new ObjectId()
    const status = orderStatuses[Math.floor(place / buyers.length) % orderStatuses.length] ?? 'pending'
    const state = reservationStates[status]
    const sold = products[place % products.length]
    if (!sold) throw new Error('there are products')
    const line = { productId: String(sold._id), quantity: 1 }
    const { name, price } = sold
    const rejection = {
      code: 'insufficient_stock',
      items: [{ productId: line.productId, requested: 1, available: 0 }],
    }
    const decided = state === 'rejected' ? { rejection } : { held: [{ ...line, name, price }] }
    if (state)
      reservations.push({ _id, state, requested: [line], ...decided, createdAt: now, updatedAt: now })
    if (state === 'held') sold.stocked += 1
    const wasConfirmed = state === 'held' || state === 'released'
    return {
      _id,
      userId: buyers[place % buyers.length],
      key: `key-${place}`,
      linesHash: 'of its lines',
      lines: [wasConfirmed ? { ...line, name, price } : { ...line, name: null, price: null }],
      totalAmount: wasConfirmed ? price : null,
      ...(wasConfirmed && { currency: 'EUR' }),
      status,
      version: 2,
      // The lease still runs, so the sweeper leaves unfinished orders alone.
      leaseUntil: new Date(Date.now() + hourMs),
      ...(wasConfirmed && { confirmation: { at: now, version: 2 } }),
      ...(state === 'rejected' && { rejection }),
      createdAt: ago(place, orderCount),
      updatedAt: ago(orderCount - place, orderCount),
    }
  })
  const entry = { by: 'somebody', reason: 'counted', at: now }
  const ledger = products.map(({ _id, stock, stocked }) => ({
    ...entry,
    productId: _id,
    change: stocked,
    stock,
  }))
  // One product has a long list of changes.
  const changes = scattered(300, (place) => ({
    ...entry,
    productId: products[0]?._id,
    change: place % 2 === 0 ? 1 : -1,
    stock: 10,
    at: ago(place, 300),
  }))

  await Promise.all([
    fill(auth, 'users', users),
    fill(
      auth,
      'throttles',
      others.map((name) => ({ key: `login-account:${name}`, points: 1, expire: soon })),
    ),
    fill(
      auth,
      'knownClients',
      others.map((name) => ({ _id: `${name} 192.0.2.1`, signedInAt: now })),
    ),
    fill(
      auth,
      'refreshFamilies',
      others.map((_id) => ({
        _id,
        userId: new ObjectId(),
        sessionEpoch: 0,
        tokenHash: `of ${_id}`,
        spent: [],
        expiresAt: soon,
      })),
    ),
    fill(product, 'products', products),
    fill(product, 'reservations', reservations),
    fill(product, 'stockLedger', [...ledger, ...changes]),
    fill(
      product,
      'stockChangeAnswers',
      others.map((name) => ({ _id: `${name}:key`, hash: 'of the change', at: now })),
    ),
    fill(order, 'orders', orders),
  ])
}

/** Inserts `count` pending and `count` cancelling orders whose leases are over, for the sweeper. */
export async function insertUnfinishedOrders({ collections }: Collections, count: number): Promise<void> {
  const documents = scattered(2 * count, (place) => ({
    userId: new ObjectId(),
    linesHash: 'of its lines',
    lines: [{ productId: String(new ObjectId()), quantity: 1, name: null, price: null }],
    totalAmount: null,
    status: place % 2 === 0 ? 'pending' : 'cancelling',
    version: 1,
    leaseUntil: new Date(Date.now() - hourMs - partlyEqual(place, 2 * count) * secondMs),
    createdAt: new Date(Date.now() - 2 * hourMs),
    updatedAt: new Date(Date.now() - 2 * hourMs),
  }))
  await fill(await collections('order'), 'orders', documents)
}
