import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCredentialIssuer } from '#kernel/ports/service-credential.ts'
import { call, type PortShop, sendTwice, startPortShop } from '#test/support/port-shop.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import { productPort } from './contract.ts'
import { connectProduct } from './http.ts'
import { productPortSuite } from './port.suite.ts'

productPortSuite('in process', async (shop) => shop.local(productPort))
productPortSuite('over HTTP', async (shop) => connectProduct(await shop.http()).port)
productPortSuite(
  'over HTTP, every call delivered twice',
  async (shop) => connectProduct(await shop.http(sendTwice)).port,
)

describe('the wire format of the product port', () => {
  let host: PortShop
  beforeAll(async () => {
    host = await startPortShop()
  })
  afterAll(() => host.close())

  const orderId = '0123456789abcdef01234567'

  it('a request with a list of calls gets the outcome of each call, and unknown fields are ignored', async () => {
    const { productId } = await host.shop.product(host.shop.adminToken, { stock: 5 })
    const reserve = (quantity: number, id: string) => ({
      request: { orderId: id, lines: [{ productId, quantity, colour: 'blue' }], since: 'a later version' },
      call: { ...call(), priority: 'high' },
      batch: 7,
    })
    const credential = await createCredentialIssuer('a secret that only these tests know')('product')
    const answer = await host.shop.post('/internal/product/reserve', {
      token: credential,
      body: {
        calls: [reserve(1, orderId), reserve(1, 'not an id'), reserve(9, orderId.replace('0', 'f'))],
        version: 2,
      },
    })
    expect(answer.status).toBe(200)
    expect(answer.body.outcomes).toMatchObject([
      { result: { state: 'held' } },
      { problem: { code: 'validation_failed' } },
      { result: { state: 'rejected' } },
    ])
  })

  it('the deadline of each call of a list is limited to the maximum time of a request', async () => {
    const { productId } = await host.shop.product(host.shop.adminToken, { stock: 5 })
    const credential = await createCredentialIssuer('a secret that only these tests know')('product')
    const reserve = (deadline: number) => ({
      request: { orderId: randomBytes(12).toString('hex'), lines: [{ productId, quantity: 1 }] },
      call: { deadline, requestId: 'list' },
    })
    const body = { calls: [reserve(9e15), reserve(Date.now() + 10_000), reserve(Date.now() - 1)] }
    const { body: answer } = await host.shop.post('/internal/product/reserve', { token: credential, body })
    expect(answer.outcomes).toMatchObject([
      { result: { state: 'held' } },
      { result: { state: 'held' } },
      { problem: { code: 'dependency_unavailable' } },
    ])
  })

  it.each(['reserve', 'release'])('%s over HTTP requires a service credential', async (operation) => {
    const body = { calls: [{ request: { orderId }, call: call() }] }
    const path = `/internal/product/${operation}`
    expect((await host.shop.post(path, { body })).body.code).toBe('unauthenticated')
    const users = await host.shop.post(path, { body, token: host.shop.adminToken })
    expect(users).toMatchObject({ status: 401, body: { code: 'invalid_token' } })
    const others = await createCredentialIssuer('a secret that only these tests know')('auth')
    expect((await host.shop.post(path, { body, token: others })).status).toBe(401)
  })
})

// The shapes run concurrently, because each waits for the disk most of the time.
it.concurrent.each(['in process', 'over HTTP'])(
  'the product port refuses a thousand reserves that arrive after their releases, %s',
  async (shape) => {
    const host = await startPortShop()
    const port = shape === 'in process' ? host.local(productPort) : connectProduct(await host.http()).port
    const { productId } = await host.shop.product(host.shop.adminToken, { stock: 5_000 })
    const late = async () => {
      const orderId = randomBytes(12).toString('hex')
      await port.release({ orderId }, call())
      return port.reserve({ orderId, lines: [{ productId, quantity: 5 }] }, call())
    }
    for (let round = 0; round < 10; round++) {
      const outcomes = await Promise.all(Array.from({ length: 100 }, late))
      expect(outcomes).toEqual(Array(100).fill({ state: 'released' }))
    }
    expect((await host.shop.get(`/products/${productId}`)).body).toMatchObject({ stock: 5_000, version: 1 })
    expect(await findUnbalancedBooks(host.shop)).toEqual([])
    await host.close()
  },
  120_000,
)

describe.each(['in process', 'over HTTP'])('the product port without its database, %s', (shape) => {
  it('the product port fails as dependency_unavailable without its database', async () => {
    const host = await startPortShop()
    const port = shape === 'in process' ? host.local(productPort) : connectProduct(await host.http()).port
    await host.shop.close()
    const refused = port.release({ orderId: '0123456789abcdef01234567' }, call(3_000))
    await expect(refused).rejects.toMatchObject({ name: 'DomainError', code: 'dependency_unavailable' })
  })
})
