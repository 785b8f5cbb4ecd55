import { mongo } from 'mongoose'
import type { Collections, Db } from './collections.ts'

const { ObjectId } = mongo

// Milliseconds.
const second = 1_000
const hour = 3_600 * second

/** `count` of them, made and stored in an order that says nothing about their place in any list. */
const scattered = <T>(count: number, make: (place: number) => T): T[] =>
  Array.from({ length: count }, (_, at) => make((at * 7_919) % count))

/** The middle third of all places has one value: more rows than any page. */
const partlyAlike = (place: number, count: number): number =>
  Math.round(Math.min(place, count / 3) + Math.max(0, place - (2 * count) / 3))

/** The reservation that an order in each status has. */
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

/** As many orders are rejected as come to anything else. */
const statusesOfOrders: Status[] = [...statuses, ...statuses.map(() => 'rejected' as const)]

const fill = async (db: Db, collection: string, documents: readonly object[]) => {
  await db.collection(collection).insertMany([...documents])
}

/**
 * Fills the databases of a shop with what a busy one has stored: thousands of each, many alike in what lists are sorted
 * by, and most of them beside the point of any one question. The books balance.
 * @param userIds of those whose orders will be asked for
 */
export async function fillShop({ collections }: Collections, userIds: readonly string[]): Promise<void> {
  const [auth, product, order] = await Promise.all(['auth', 'product', 'order'].map(collections))
  if (!auth || !product || !order) throw new Error('each module has a database')
  const now = new Date()
  const soon = new Date(Date.now() + 12 * hour)
  const ago = (place: number, count: number) =>
    new Date(Date.now() - hour - partlyAlike(place, count) * second)

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
    const price = partlyAlike(place, 3_000)
    const stock = place % 5 === 0 ? 0 : 10
    return {
      _id: new ObjectId(),
      // Alike but for their case where prices are.
      name: `${['Cup', 'cup', 'CUP'][place % 3]} ${String(price).padStart(4, '0')}`,
      description: 'Stoneware',
      price,
      stock,
      stocked: stock,
      version: 1,
      contentVersion: 1,
      deleted: place % 4 === 0,
      createdAt: ago(place, 3_000),
      updatedAt: now,
    }
  })

  const buyers = [...userIds.map((id) => new ObjectId(id)), ...users.slice(0, 2).map(({ _id }) => _id)]
  const orderCount = buyers.length * statusesOfOrders.length * 60
  const reservations: object[] = []
  const orders = scattered(orderCount, (place) => {
    const _id = new ObjectId()
    const status = statusesOfOrders[Math.floor(place / buyers.length) % statusesOfOrders.length] ?? 'pending'
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
      status,
      version: 2,
      // Somebody is at work on those that are unfinished: no sweeper takes them.
      leaseUntil: new Date(Date.now() + hour),
      ...(wasConfirmed && { confirmation: { at: now, version: 2 } }),
      ...(state === 'rejected' && { rejection }),
      createdAt: ago(place, orderCount),
      updatedAt: now,
    }
  })
  const ledger = products.map(({ _id, stock, stocked }) => ({
    productId: _id,
    change: stocked,
    stock,
    by: 'somebody',
    reason: 'created',
    at: now,
  }))

  await Promise.all([
    fill(auth, 'users', users),
    fill(
      auth,
      'throttles',
      others.map((who) => ({ key: `login-account:${who}`, points: 1, expire: soon })),
    ),
    fill(
      auth,
      'knownClients',
      others.map((who) => ({ _id: `${who} 192.0.2.1`, signedInAt: now })),
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
    fill(product, 'stockLedger', ledger),
    fill(
      product,
      'stockChangeAnswers',
      others.map((who) => ({ _id: `${who}:key`, hash: 'of the change', at: now })),
    ),
    fill(order, 'orders', orders),
  ])
}

/** Orders that whoever placed or cancelled them did not finish, `count` of each kind: a sweeper takes them. */
export async function abandonOrders({ collections }: Collections, count: number): Promise<void> {
  const documents = scattered(2 * count, (place) => ({
    userId: new ObjectId(),
    linesHash: 'of its lines',
    lines: [{ productId: String(new ObjectId()), quantity: 1, name: null, price: null }],
    totalAmount: null,
    status: place % 2 === 0 ? 'pending' : 'cancelling',
    version: 1,
    leaseUntil: new Date(Date.now() - hour - partlyAlike(place, 2 * count) * second),
    createdAt: new Date(Date.now() - 2 * hour),
    updatedAt: new Date(Date.now() - 2 * hour),
  }))
  await fill(await collections('order'), 'orders', documents)
}
