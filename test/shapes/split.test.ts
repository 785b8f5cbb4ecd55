import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { registry } from '#src/registry.ts'
import { type Deployment, deploy } from '#test/support/processes.ts'
import { endToEndSuite } from './end-to-end.suite.ts'

endToEndSuite('split')

describe('the split shape with a service that does not answer', () => {
  let shop: Deployment
  beforeAll(async () => {
    shop = await deploy('split', { REQUEST_TIMEOUT: '2s' })
    // The first registration loads the password dictionaries, which may take longer than a request.
    await vi.waitFor(() => shop.customer(), { timeout: 20_000 })
  })
  afterAll(() => shop.stop())

  /** Stops a service with SIGSTOP. Its parent would restart a killed service at once. */
  const freeze = (service: string) => {
    const pid = shop.pids[service] ?? Number.NaN
    process.kill(pid, 'SIGSTOP')
    return () => process.kill(pid, 'SIGCONT')
  }

  it('tokens are verified while auth does not answer', async () => {
    const { token } = await shop.customer()
    const { productId } = await shop.product(shop.adminToken)
    expect((await shop.order(token, [{ productId, quantity: 1 }])).status).toBe(201)
    const thaw = freeze('auth')
    try {
      expect((await shop.order(token, [{ productId, quantity: 1 }])).status).toBe(201)
      const damaged = await shop.order(`${token.slice(0, -4)}AAAA`, [{ productId, quantity: 1 }])
      expect(damaged).toMatchObject({ status: 401, body: { code: 'invalid_token' } })
      const put = { token: shop.adminToken, body: { price: 2, version: 1 } }
      expect((await shop.put(`/products/${productId}`, put)).status).toBe(200)
    } finally {
      thaw()
    }
  })

  it('an order is answered in time while product does not answer, and a retry completes it later', async () => {
    const { token } = await shop.customer()
    const { productId } = await shop.product(shop.adminToken, { stock: 10 })
    const place = () => shop.order(token, [{ productId, quantity: 4 }], { 'Idempotency-Key': 'frozen' })
    const thaw = freeze('product')
    let orderId: string
    try {
      const started = performance.now()
      const answer = await place()
      expect(performance.now() - started).toBeLessThan(5_000)
      expect(answer).toMatchObject({ status: 503, body: { code: 'dependency_unavailable' } })
      expect(answer.headers.get('retry-after')).not.toBeNull()
      orderId = answer.body.orderId
      expect(answer.headers.get('location')).toBe(`/orders/${orderId}`)
      expect((await shop.get(`/orders/${orderId}`, { token })).body.status).toBe('pending')
    } finally {
      thaw()
    }
    // The service still reads the calls from its socket when it continues. The retry finds what they did.
    const retried = await vi.waitFor(
      async () => {
        const answer = await place()
        expect(answer.status).toBe(201)
        return answer
      },
      { timeout: 10_000, interval: 100 },
    )
    expect(retried.body).toMatchObject({ orderId, status: 'confirmed' })
    expect((await shop.get(`/products/${productId}`)).body.stock).toBe(6)
  })

  it('the gateway refuses what a frozen service cannot take, and still forwards requests to the others', async () => {
    const thaw = freeze('product')
    try {
      const reads = Array.from({ length: 400 }, () => shop.get('/products?limit=1'))
      const refused = await Promise.race(reads)
      expect(refused).toMatchObject({ status: 503, body: { code: 'overloaded', retryAfter: 1 } })
      expect((await shop.get('/orders', { token: shop.adminToken })).status).toBe(200)
      expect((await shop.get('/healthz')).status).toBe(200)
      const codes = (await Promise.all(reads)).map(({ body }) => body.code)
      expect(new Set(codes)).toEqual(new Set(['overloaded', 'dependency_unavailable']))
    } finally {
      thaw()
    }
    await vi.waitFor(async () => expect((await shop.get('/products?limit=1')).status).toBe(200), {
      timeout: 10_000,
    })
  })

  it('a killed service is restarted', async () => {
    process.kill(shop.pids.order ?? Number.NaN, 'SIGKILL')
    await vi.waitFor(
      async () => expect((await shop.get('/orders', { token: shop.adminToken })).status).toBe(200),
      { timeout: 15_000, interval: 100 },
    )
    expect(shop.output()).toContain('service exited, restarting')
  })
})

describe('the split shape', () => {
  it('the services of the split shape end when their parent process is killed', async () => {
    const shop = await deploy('split')
    const pids = Object.values(shop.pids)
    expect(pids).toHaveLength(registry.length)
    shop.child.kill('SIGKILL')
    const isAlive = (pid: number) => {
      try {
        return process.kill(pid, 0)
      } catch {
        return false
      }
    }
    await vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), { timeout: 10_000, interval: 50 })
    await shop.stop()
  })
})
