import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call, type PortShop, startPortShop } from '#test/support/port-shop.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import type { ProductPort } from './contract.ts'

/** The tests that every implementation of the product port passes. */
export function productPortSuite(name: string, implementation: (shop: PortShop) => Promise<ProductPort>) {
  describe(`the product port, ${name}`, () => {
    let host: PortShop
    let port: ProductPort
    beforeAll(async () => {
      host = await startPortShop()
      port = await implementation(host)
    })
    afterAll(async () => {
      expect(await findUnbalancedBooks(host.shop)).toEqual([])
      await host.close()
    })

    const orderId = () => randomBytes(12).toString('hex')
    const product = (fields: Record<string, unknown> = {}) => host.shop.product(host.shop.adminToken, fields)
    const stockOf = async (productId: string) => (await host.shop.get(`/products/${productId}`)).body.stock

    it('reserve holds stock with the name and price of that moment, and repeats its answer', async () => {
      const { productId, version } = await product({ name: 'Cup', price: 12.9, stock: 10 })
      const request = { orderId: orderId(), lines: [{ productId, quantity: 3 }] }
      const held = { state: 'held', lines: [{ productId, quantity: 3, name: 'Cup', price: 1290 }] }
      expect(await port.reserve(request, call())).toEqual(held)

      const token = host.shop.adminToken
      const change = { name: 'Mug', price: 99, version }
      expect((await host.shop.put(`/products/${productId}`, { token, body: change })).status).toBe(200)
      expect(await port.reserve(request, call())).toEqual(held)
      expect(await stockOf(productId)).toBe(7)
    })

    it('reserve takes no stock if the stock of one line is too low, and names every such line', async () => {
      const [plenty, few, none] = await Promise.all([
        product({ stock: 10 }),
        product({ stock: 2 }),
        product({ stock: 0 }),
      ])
      const lines = [plenty, few, none].map(({ productId }) => ({ productId, quantity: 3 }))
      lines.sort((a, b) => (a.productId < b.productId ? -1 : 1))
      const outcome = await port.reserve({ orderId: orderId(), lines }, call())
      expect(outcome).toMatchObject({ state: 'rejected', rejection: { code: 'insufficient_stock' } })
      expect(outcome).toMatchObject({
        rejection: {
          items: expect.arrayContaining([
            { productId: few.productId, requested: 3, available: 2 },
            { productId: none.productId, requested: 3, available: 0 },
          ]),
        },
      })
      expect(await stockOf(plenty.productId)).toBe(10)
    })

    it('reserve rejects unknown and deleted products, and names each', async () => {
      const [known, deleted] = await Promise.all([product(), product()])
      await host.shop.delete(`/products/${deleted.productId}`, { token: host.shop.adminToken })
      const missing = orderId()
      const lines = [known.productId, deleted.productId, missing].map((productId) => ({
        productId,
        quantity: 1,
      }))
      const outcome = await port.reserve({ orderId: orderId(), lines }, call())
      expect(outcome).toEqual({
        state: 'rejected',
        rejection: { code: 'unknown_product', productIds: [deleted.productId, missing] },
      })
      expect(await stockOf(known.productId)).toBe(10)
    })

    it('reserve repeats a rejection, even after the stock was increased', async () => {
      const { productId } = await product({ stock: 1 })
      const request = { orderId: orderId(), lines: [{ productId, quantity: 5 }] }
      const rejected = await port.reserve(request, call())
      const body = { change: 100 }
      await host.shop.post(`/products/${productId}/stock`, { token: host.shop.adminToken, body })
      expect(await port.reserve(request, call())).toEqual(rejected)
      expect(await stockOf(productId)).toBe(101)
    })

    it('release returns stock once if it is repeated', async () => {
      const { productId } = await product({ stock: 10 })
      const order = { orderId: orderId() }
      await port.reserve({ ...order, lines: [{ productId, quantity: 4 }] }, call())
      expect(await stockOf(productId)).toBe(6)
      expect(await port.release(order, call())).toEqual({ state: 'released' })
      expect(await port.release(order, call())).toEqual({ state: 'released' })
      expect(await stockOf(productId)).toBe(10)
    })

    it('release returns every line of several orders that are released concurrently', async () => {
      const [cup, pot] = await Promise.all([product({ stock: 10 }), product({ stock: 10 })])
      const lines = [cup, pot].map(({ productId }) => ({ productId, quantity: 2 }))
      lines.sort((a, b) => (a.productId < b.productId ? -1 : 1))
      const orders = Array.from({ length: 4 }, () => ({ orderId: orderId() }))
      for (const order of orders) await port.reserve({ ...order, lines }, call())
      expect([await stockOf(cup.productId), await stockOf(pot.productId)]).toEqual([2, 2])
      const never = { orderId: orderId() }
      const answers = await Promise.all(
        [...orders, ...orders, never].map((order) => port.release(order, call())),
      )
      expect(answers).toEqual(Array(9).fill({ state: 'released' }))
      expect([await stockOf(cup.productId), await stockOf(pot.productId)]).toEqual([10, 10])
    })

    it('reserve is refused if it arrives after its release', async () => {
      const { productId } = await product({ stock: 10 })
      const order = { orderId: orderId() }
      expect(await port.release(order, call())).toEqual({ state: 'released' })
      const late = { ...order, lines: [{ productId, quantity: 1 }] }
      expect(await port.reserve(late, call())).toEqual({ state: 'released' })
      expect(await port.release(order, call())).toEqual({ state: 'released' })
      expect(await stockOf(productId)).toBe(10)
    })

    it('a repeated reserve is refused after the release of a hold, and of a rejection', async () => {
      const { productId } = await product({ stock: 10 })
      for (const quantity of [4, 11]) {
        const request = { orderId: orderId(), lines: [{ productId, quantity }] }
        await port.reserve(request, call())
        await port.release({ orderId: request.orderId }, call())
        expect(await port.reserve(request, call())).toEqual({ state: 'released' })
        expect(await stockOf(productId)).toBe(10)
      }
    })

    it('reserve refuses other lines for the same order id', async () => {
      const [first, second, third] = await Promise.all([1, 2, 3].map(() => product({ stock: 10 })))
      const line = ({ productId }: { productId: string }, quantity = 1) => ({ productId, quantity })
      const order = { orderId: orderId() }
      await port.reserve({ ...order, lines: [line(first), line(second)] }, call())
      for (const lines of [
        [line(first), line(second, 2)],
        [line(first), line(third)],
        [line(first)],
        [line(first), line(second), line(third)],
      ])
        await expect(port.reserve({ ...order, lines }, call())).rejects.toMatchObject({
          name: 'DomainError',
          code: 'idempotency_key_reused',
          message: `orderId: ${order.orderId} is already reserved with other lines; repeat the reserve with the same lines`,
        })
      expect(await Promise.all([first, second, third].map(({ productId }) => stockOf(productId)))).toEqual([
        9, 9, 10,
      ])
    })

    it('reserve takes no stock after the deadline', async () => {
      const { productId } = await product({ stock: 10 })
      const request = { orderId: orderId(), lines: [{ productId, quantity: 1 }] }
      const late = port.reserve(request, call(0))
      await expect(late).rejects.toMatchObject({ name: 'DomainError', code: 'dependency_unavailable' })
      expect(await stockOf(productId)).toBe(10)
      expect(await port.reserve(request, call())).toMatchObject({ state: 'held' })
    })

    it('release returns no stock after the deadline', async () => {
      const { productId } = await product({ stock: 10 })
      const request = { orderId: orderId(), lines: [{ productId, quantity: 1 }] }
      await port.reserve(request, call())
      const late = port.release({ orderId: request.orderId }, call(0))
      await expect(late).rejects.toMatchObject({ name: 'DomainError', code: 'dependency_unavailable' })
      expect(await port.reserve(request, call())).toMatchObject({ state: 'held' })
      expect(await stockOf(productId)).toBe(9)
    })

    it('release returns stock to a deleted product', async () => {
      const { productId } = await product({ stock: 10 })
      const order = { orderId: orderId() }
      await port.reserve({ ...order, lines: [{ productId, quantity: 4 }] }, call())
      await host.shop.delete(`/products/${productId}`, { token: host.shop.adminToken })
      expect(await port.release(order, call())).toEqual({ state: 'released' })
      const db = await host.shop.collections('product')
      const stocks = await db.collection('products').find({ deleted: true }).toArray()
      expect(stocks.find(({ _id }) => String(_id) === productId)).toMatchObject({ stock: 10, stocked: 10 })
    })

    it('concurrent reserves never sell more than the stock', async () => {
      const { productId } = await product({ stock: 12 })
      const outcomes = await Promise.all(
        Array.from({ length: 30 }, () =>
          port.reserve({ orderId: orderId(), lines: [{ productId, quantity: 1 }] }, call()),
        ),
      )
      expect(outcomes.filter(({ state }) => state === 'held')).toHaveLength(12)
      expect(outcomes.filter(({ state }) => state === 'rejected')).toHaveLength(18)
      expect(await stockOf(productId)).toBe(0)
    })

    it('each of several concurrent reserves gets its own outcome', async () => {
      const { productId } = await product({ name: 'Cup', price: 1, stock: 10 })
      const reserve = (lines: { productId: string; quantity: number }[], id = orderId()) =>
        port.reserve({ orderId: id, lines }, call()).catch((error: unknown) => error)
      const known = orderId()
      await reserve([{ productId, quantity: 1 }], known)
      const unknown = orderId()
      const outcomes = await Promise.all([
        reserve([{ productId, quantity: 2 }]),
        reserve([{ productId, quantity: 99 }]),
        reserve([{ productId: unknown, quantity: 1 }]),
        reserve([{ productId, quantity: 1 }], known),
        reserve([{ productId, quantity: 2 }], known),
        reserve([{ productId, quantity: 3 }]),
      ])
      expect(outcomes).toMatchObject([
        { state: 'held', lines: [{ quantity: 2 }] },
        { state: 'rejected', rejection: { code: 'insufficient_stock', items: [{ requested: 99 }] } },
        { state: 'rejected', rejection: { code: 'unknown_product', productIds: [unknown] } },
        { state: 'held', lines: [{ quantity: 1 }] },
        { code: 'idempotency_key_reused' },
        { state: 'held', lines: [{ quantity: 3 }] },
      ])
      expect(await stockOf(productId)).toBe(4)
    })

    it('an order whose reserve and release are concurrent is released', async () => {
      const { productId } = await product({ stock: 10 })
      for (let round = 0; round < 5; round++) {
        const request = { orderId: orderId(), lines: [{ productId, quantity: 2 }] }
        await Promise.all([port.reserve(request, call()), port.release({ orderId: request.orderId }, call())])
        expect(await port.reserve(request, call())).toEqual({ state: 'released' })
      }
      expect(await stockOf(productId)).toBe(10)
    })

    it('the reservations of orders are read without those of unknown orders', async () => {
      const { productId } = await product({ stock: 10 })
      const [held, rejected, released, unknown] = [orderId(), orderId(), orderId(), orderId()]
      const [startedAt, userId] = [Date.now(), orderId()]
      const outcomes = new Map<string, unknown>([[released, { state: 'released' }]])
      for (const [id, quantity, user] of [
        [held, 1, { userId }],
        [rejected, 99, {}],
      ] as const) {
        const lines = [{ productId, quantity }]
        outcomes.set(id, await port.reserve({ orderId: id, ...user, lines }, call()))
      }
      await port.release({ orderId: released }, call())
      const orderIds = [unknown, released, held, rejected]
      const { reservations } = await port.reservations({ orderIds }, call())
      expect(new Map(reservations.map(({ orderId, reservation }) => [orderId, reservation]))).toEqual(
        outcomes,
      )
      expect(reservations.filter((each) => each.userId !== undefined)).toMatchObject([
        { orderId: held, userId },
      ])
      for (const { reservedAt } of reservations) {
        expect(reservedAt).toBeGreaterThanOrEqual(startedAt)
        expect(reservedAt).toBeLessThanOrEqual(Date.now())
      }
    })

    it('holds are listed by the time at which they were made, in pages, also if their times are equal', async () => {
      const { productId } = await product({ stock: 20 })
      const startedAt = Date.now()
      const ids = Array.from({ length: 12 }, orderId)
      const reserve = (id = '', quantity = 1) =>
        port.reserve({ orderId: id, lines: [{ productId, quantity }] }, call())
      // Reserves that arrive together are stored together, with one time.
      await Promise.all(ids.slice(0, 6).map((id) => reserve(id)))
      for (const id of ids.slice(6)) await reserve(id)
      await reserve(orderId(), 100)
      await port.release({ orderId: ids[8] ?? '' }, call())
      const until = Date.now() + 1
      const listed: { orderId: string; heldAt: number }[] = []
      for (let after = { orderId: '0'.repeat(24), heldAt: startedAt - 1 }; ; ) {
        const { holds } = await port.holdsByTime({ after, until, limit: 5 }, call())
        const last = holds.at(-1)
        if (!last) break
        listed.push(...holds)
        after = last
      }
      const own = listed.map((hold) => hold.orderId).filter((id) => ids.includes(id))
      expect(own.slice(0, 6).toSorted()).toEqual(ids.slice(0, 6).toSorted())
      expect(own.slice(6)).toEqual(ids.slice(6).filter((id) => id !== ids[8]))
      expect(new Set(own).size).toBe(own.length)
      const positions = listed.map(({ heldAt, orderId: id }) => `${heldAt} ${id}`)
      expect(positions).toEqual(positions.toSorted())
      const none = {
        after: { orderId: '0'.repeat(24), heldAt: startedAt - 1 },
        until: startedAt - 1,
        limit: 5,
      }
      expect(await port.holdsByTime(none, call())).toEqual({ holds: [] })
      expect((await port.holdsByTime({ until, limit: 1 }, call())).holds).toHaveLength(1)
    })

    it('the orders that hold stock are listed in pages', async () => {
      const { productId } = await product({ stock: 10 })
      // These ids are greater than all others of this suite.
      const ids = Array.from({ length: 5 }, (_, n) => `ffffffff${n}${orderId().slice(9)}`)
      for (const id of ids) await port.reserve({ orderId: id, lines: [{ productId, quantity: 1 }] }, call())
      await port.release({ orderId: ids[1] ?? '' }, call())
      const holding = ids.filter((_, n) => n !== 1)
      const first = await port.holds({ after: 'ffffffff'.padEnd(24, '0'), limit: 3 }, call())
      expect(first.orderIds).toEqual(holding.slice(0, 3))
      const last = await port.holds({ after: first.orderIds.at(-1), limit: 3 }, call())
      expect(last.orderIds.slice(0, 1)).toEqual(holding.slice(3))
      expect((await port.holds({ limit: 1 }, call())).orderIds).toHaveLength(1)
    })
  })
}
