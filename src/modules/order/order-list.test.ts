import { Types } from 'mongoose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Account, Json } from '#test/support/client.ts'
import { type Shop, startComposition, startShop } from '#test/support/shop.ts'
import { orderStatuses } from './order-status.ts'

let shop: Shop
let ada: Account
let template: Json
beforeAll(async () => {
  shop = await startShop()
  ada = await shop.customer()
  const { productId } = await shop.product(shop.adminToken)
  const { orderId } = (await shop.order(ada.token, [{ productId, quantity: 1 }])).body
  template = await (await orders()).findOne({ _id: new Types.ObjectId(String(orderId)) })
  await (await orders()).deleteMany({})
})
afterAll(() => shop.close())

const orders = async () => (await shop.collections('order')).collection('orders')

/** Stores orders with these fields, oldest first, and returns their ids, newest first. */
async function store(account: Account, fields: Json[]): Promise<string[]> {
  const documents = fields.map((each) => ({
    ...template,
    _id: new Types.ObjectId(),
    userId: new Types.ObjectId(account.userId),
    key: String(new Types.ObjectId()),
    ...each,
  }))
  await (await orders()).insertMany(documents)
  return documents.map(({ _id }) => _id.toHexString()).reverse()
}

const list = (query: string, { token }: { token: string } = ada) => shop.get(`/orders?${query}`, { token })

async function pages(query: string, account: { token: string } = ada): Promise<Json[]> {
  const rows: Json[] = []
  for (let cursor = ''; ; ) {
    const { status, body } = await list(`${query}${cursor}`, account)
    expect(status, JSON.stringify(body)).toBe(200)
    rows.push(...body.data)
    if (body.nextCursor === null) return rows
    cursor = `&cursor=${body.nextCursor}`
  }
}
const idsOf = (rows: Json[]) => rows.map(({ orderId }) => orderId)

describe('the filters of a list of orders', () => {
  let grace: Account
  /** One order of each status for each of twelve minutes, at two times each minute, newest first. */
  let stored: { id: string; status: string; minute: number }[]
  const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 12, minute))
  beforeAll(async () => {
    grace = await shop.customer()
    const fields = Array.from({ length: 12 }, (_, minute) =>
      orderStatuses.map((status) => ({ status, createdAt: at(minute), minute })),
    ).flat()
    const ids = await store(
      grace,
      fields.map(({ minute: _, ...each }) => each),
    )
    stored = fields
      .toReversed()
      .map(({ status, minute }, place) => ({ id: ids[place] ?? '', status, minute }))
  })

  const cases: [query: string, isListed: (order: { status: string; minute: number }) => boolean][] = [
    ['', ({ status }) => status !== 'rejected'],
    ['&status=rejected', ({ status }) => status === 'rejected'],
    ['&status=shipped&status=delivered', ({ status }) => ['shipped', 'delivered'].includes(status)],
    [
      '&status=delivered&status=shipped&status=rejected',
      ({ status }) => ['shipped', 'delivered', 'rejected'].includes(status),
    ],
    [orderStatuses.map((status) => `&status=${status}`).join(''), () => true],
    [`&createdAfter=${at(3).toISOString()}`, ({ status, minute }) => status !== 'rejected' && minute >= 3],
    [`&createdBefore=${at(3).toISOString()}`, ({ status, minute }) => status !== 'rejected' && minute < 3],
    [
      `&createdAfter=${at(2).toISOString()}&createdBefore=${at(9).toISOString()}&status=pending`,
      ({ status, minute }) => status === 'pending' && minute >= 2 && minute < 9,
    ],
    [
      '&createdAfter=2026-01-01T14:02:00%2B02:00&createdBefore=2026-01-01T07:09:00.000000-05:00&status=pending',
      ({ status, minute }) => status === 'pending' && minute >= 2 && minute < 9,
    ],
    [
      '&createdAfter=2026-01-01T12:02:00.0000001Z&createdBefore=2026-01-01T12:09:00.000000001Z&status=pending',
      ({ status, minute }) => status === 'pending' && minute > 2 && minute < 10,
    ],
    [
      `&createdAfter=2026-01-01T12:02:00Z&createdBefore=${at(9).toISOString()}&status=pending&status=cancelled`,
      ({ status, minute }) => ['pending', 'cancelled'].includes(status) && minute >= 2 && minute < 9,
    ],
  ]
  it.each(cases)(
    'a list with the filters "%s" has exactly the orders that match, newest first, in pages of any size',
    async (query, isListed) => {
      const expected = stored.filter(isListed).map(({ id }) => id)
      expect(expected.length).toBeGreaterThan(6)
      for (const limit of [1, 4, 5, 100]) {
        expect(idsOf(await pages(`limit=${limit}${query}`, grace)), `limit ${limit}`).toEqual(expected)
        const byAdmin = await pages(`limit=${limit}${query}&userId=${grace.userId}`, {
          token: shop.adminToken,
        })
        expect(idsOf(byAdmin), `limit ${limit}, admin`).toEqual(expected)
      }
    },
  )

  it('a cursor is refused with another filter or another sort', async () => {
    const query = 'limit=1&status=shipped&status=delivered'
    const { nextCursor } = (await list(query, grace)).body
    const next = (filters: string) => list(`limit=1${filters}&cursor=${nextCursor}`, grace)
    expect((await next('&status=delivered&status=shipped')).status).toBe(200)
    for (const filters of [
      '',
      '&status=shipped',
      '&status=shipped&status=delivered&createdAfter=2026-01-01T00:00:00Z',
      '&status=shipped&status=delivered&createdBefore=2027-01-01T00:00:00Z',
      `&status=shipped&status=delivered&userId=${grace.userId}`,
      '&status=shipped&status=delivered&sort=updated',
    ]) {
      expect(await next(filters), filters).toMatchObject({
        status: 400,
        body: { errors: [{ parameter: 'cursor' }] },
      })
    }
  })

  it.each([
    ['status=', 'status', 'format'],
    ['status=nothing', 'status', 'format'],
    ['status=shipped&status=nothing', 'status', 'format'],
    ['status=shipped&status=', 'status', 'format'],
    ['status=shipped&status=shipped', 'status', 'repeated'],
    ['createdAfter=yesterday', 'createdAfter', 'format'],
    ['createdAfter=2026-01-01T12:00:00+01:00', 'createdAfter', 'format'],
    ['createdAfter=2026-01-01T12:00Z', 'createdAfter', 'format'],
    ['createdAfter=2026-01-01T12:00:00', 'createdAfter', 'format'],
    ['createdAfter=2026-01-01', 'createdAfter', 'format'],
    ['createdAfter=2026-12-31T23:59:60Z', 'createdAfter', 'format'],
    ['createdBefore=2026-02-30T12:00:00Z', 'createdBefore', 'format'],
    ['createdAfter=2026-01-02T00:00:00Z&createdBefore=2026-01-02T00:00:00Z', 'createdBefore', 'rule'],
    ['updatedAfter=2026-01-01T00:00:00Z', 'updatedAfter', 'rule'],
    ['sort=oldest', 'sort', 'format'],
    ['sort=updated&sort=updated', 'sort', 'repeated'],
    ['sort=updated&status=shipped&status=pending', 'status', 'rule'],
    ['sort=updated&status=rejected', 'status', 'rule'],
  ])(
    'a list of orders is refused with ?%s, and the error names the parameter %s and the code %s',
    async (query, parameter, code) => {
      expect(await list(query)).toMatchObject({
        status: 400,
        body: { code: 'validation_failed', errors: [{ parameter, code }] },
      })
    },
  )

  it('a list of statuses in one parameter is refused, and the message says to repeat the parameter', async () => {
    const { body } = await list('status=shipped,delivered')
    expect(body.errors).toEqual([
      { parameter: 'status', code: 'format', message: expect.stringMatching(/repeat the parameter$/) },
    ])
  })
})

describe('long lists of orders', () => {
  let edsger: Account
  /** The statuses of 24,000 orders, oldest first: three that are rare between many delivered ones. */
  const statusOf = (n: number) => {
    if (n % 8_000 === 0) return 'shipped'
    if (n % 6_000 === 1) return 'cancelled'
    return n % 4_000 === 2 ? 'rejected' : 'delivered'
  }
  let ids: string[]
  beforeAll(async () => {
    edsger = await shop.customer()
    const first = Date.UTC(2026, 0, 1)
    ids = []
    for (let part = 0; part < 24_000; part += 4_000) {
      const fields = Array.from({ length: 4_000 }, (_, n) => ({
        status: statusOf(part + n),
        // The 5,000 newest ones are of the same second, and a thousand of them of the same millisecond.
        createdAt: new Date(first + (part + n < 19_000 ? 1_000 * (part + n) : 19_000_000 + ((part + n) % 5))),
      }))
      ids = [...(await store(edsger, fields)), ...ids]
    }
  })

  const newestFirst = async (filter: Json) =>
    idsOfDocuments(
      await (await orders())
        .find({ userId: new Types.ObjectId(edsger.userId), ...filter })
        .sort({ createdAt: -1, _id: -1 })
        .project({ _id: 1 })
        .toArray(),
    )
  const idsOfDocuments = (documents: Json[]) => documents.map(({ _id }) => String(_id))

  it.each([
    [['shipped']],
    [['shipped', 'cancelled']],
    [['shipped', 'rejected']],
    [['cancelled', 'rejected']],
    [['rejected']],
  ])(
    'a list with the filter %j has short pages where few orders match, and misses none',
    async (statuses) => {
      const query = statuses.map((status) => `&status=${status}`).join('')
      const expected = await newestFirst({ status: { $in: statuses } })
      for (const limit of [2, 100]) {
        expect(idsOf(await pages(`limit=${limit}${query}`, edsger))).toEqual(expected)
        const asAdmin = await pages(`limit=${limit}${query}&userId=${edsger.userId}`, {
          token: shop.adminToken,
        })
        expect(idsOf(asAdmin)).toEqual(expected)
      }
    },
  )

  it('a page with the filter status ends after ten thousand orders, although more follow', async () => {
    const { body } = await list('limit=100&status=shipped', edsger)
    expect(body.data.length).toBeLessThan(3)
    expect(body.nextCursor).not.toBeNull()
  })

  it('a page reads as many index entries behind 5,000 orders of one second as the first page', async () => {
    const db = await shop.collections('order')
    const examined = async (cursor: string) => {
      await db.command({ profile: 2 })
      const { body } = await list(`limit=100${cursor}`, edsger)
      await db.command({ profile: 0 })
      const [entry] = await db.collection('system.profile').find().sort({ ts: -1 }).limit(1).toArray()
      await db.collection('system.profile').drop()
      expect(body.data).toHaveLength(100)
      return { body, keys: entry?.keysExamined, documents: entry?.docsExamined }
    }
    const first = await examined('')
    let page = first
    for (let read = 100; read < 5_000; read += 100) {
      page = await examined(`&cursor=${page.body.nextCursor}`)
      expect(page.keys).toBeLessThanOrEqual(1.2 * first.keys)
      expect(page.documents).toBeLessThanOrEqual(1.2 * first.documents)
    }
    const expected = await newestFirst({ status: { $ne: 'rejected' } })
    expect(page.body.data.map(({ orderId }: Json) => orderId)).toEqual(expected.slice(4_900, 5_000))
  })
})

it('a start replaces the indexes with which earlier versions read lists', async () => {
  const db = await shop.collections('order')
  const superseded: Record<string, 1 | -1>[] = [
    { userId: 1, status: 1, createdAt: -1, _id: -1 },
    { status: 1, createdAt: -1, _id: -1 },
    { userId: 1, createdAt: -1, _id: -1 },
    { createdAt: -1, _id: -1 },
    { userId: 1, updatedAt: 1, _id: 1 },
  ]
  const keys = async () => (await db.collection('orders').indexes()).map(({ key }) => JSON.stringify(key))
  const current = await keys()
  for (const key of superseded) await db.collection('orders').createIndex(key)
  await db.collection('migrations').deleteOne({ _id: { $eq: '005-fewer-indexes' } } as object)
  const { composition, close } = await startComposition({
    environment: { MONGODB_DATABASE: shop.database },
  })
  await composition.prepare(new AbortController().signal)
  await close()
  expect((await keys()).toSorted()).toEqual(current.toSorted())
  expect(current).not.toContain(JSON.stringify(superseded[0]))
})

describe('the order of changes', () => {
  it('a list in the order of changes has the oldest change first, in pages of any size, and continues after a time', async () => {
    const linus = await shop.customer()
    const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 12, 0, second))
    const ids = await store(linus, [
      ...[1, 2, 2, 2, 3, 4, 4].map((second) => ({ status: 'confirmed', updatedAt: at(second) })),
      { status: 'shipped', updatedAt: at(5) },
      { status: 'pending', updatedAt: at(5) },
      { status: 'rejected', updatedAt: at(5) },
    ])
    const oldestFirst = ids.slice(2).reverse()
    for (const limit of [1, 2, 3, 100]) {
      expect(idsOf(await pages(`sort=updated&limit=${limit}`, linus))).toEqual(oldestFirst)
      const later = `sort=updated&limit=${limit}&updatedAfter=${at(2).toISOString()}`
      expect(idsOf(await pages(later, linus))).toEqual(oldestFirst.slice(4))
      const slightlyLater = later.replace('000Z', '000999Z')
      expect(idsOf(await pages(slightlyLater, linus))).toEqual(oldestFirst.slice(4))
    }
    expect(idsOf(await pages('sort=updated&status=shipped', linus))).toEqual(oldestFirst.slice(-1))
    const byAdmin = await pages(`sort=updated&userId=${linus.userId}`, { token: shop.adminToken })
    expect(idsOf(byAdmin)).toEqual(oldestFirst)
  })

  it('a filtered list in the order of changes has short pages where few orders match, and misses none', async () => {
    const barbara = await shop.customer()
    const first = Date.UTC(2026, 0, 1)
    const ids = await store(
      barbara,
      Array.from({ length: 2_500 }, (_, n) => ({
        status: n % 1_200 === 1_199 ? 'cancelled' : 'delivered',
        // A thousand of them have the same time.
        updatedAt: new Date(first + Math.max(0, n - 1_000)),
      })),
    )
    const page = (await list('sort=updated&status=cancelled&limit=10', barbara)).body
    expect(page.data).toEqual([])
    expect(page.nextCursor).not.toBeNull()
    const cancelled = ids.toReversed().filter((_, n) => n % 1_200 === 1_199)
    expect(idsOf(await pages('sort=updated&status=cancelled&limit=10', barbara))).toEqual(cancelled)
  })

  it('a change is left out until no earlier change can appear any more', async () => {
    const { productId } = await shop.product(shop.adminToken)
    const { body } = await shop.order(ada.token, [{ productId, quantity: 1 }])
    expect(idsOf(await pages('', ada))).toContain(body.orderId)
    expect(idsOf(await pages('sort=updated', ada))).not.toContain(body.orderId)
  })
})
