import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { scrape } from '#test/support/metrics.ts'
import { type Shop, startShop } from '#test/support/shop.ts'

let shop: Shop
beforeAll(async () => {
  shop = await startShop()
})
afterAll(() => shop.close())

const countOf = async (labels: string) =>
  (await scrape(shop)).get(`trivet_http_request_duration_seconds_count{${labels}}`)

it('the metrics of a process are text for Prometheus that no cache keeps', async () => {
  const { status, headers, body } = await shop.get('/metrics', { headers: { 'Accept-Encoding': 'gzip' } })
  expect(status).toBe(200)
  expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(headers.get('cache-control')).toBe('no-store')
  expect(headers.get('content-encoding')).toBeNull()
  expect(body).toContain('# TYPE trivet_http_request_duration_seconds histogram\n')
})

it('each answer counts under its method, its route template and the class of its status', async () => {
  for (const id of ['0123456789abcdef01234567', 'f'.repeat(24), 'not-an-id']) {
    expect((await shop.get(`/products/${id}?x=1`)).status).toBeGreaterThanOrEqual(400)
  }
  expect((await shop.request('HEAD', '/products')).status).toBe(200)
  expect((await shop.post('/orders', { raw: '{' })).status).toBe(401)
  expect((await shop.request('PATCH', '/products/')).status).toBe(405)
  expect(await countOf('method="GET",route="/products/{id}",status="4xx"')).toBe(3)
  expect(await countOf('method="GET",route="/products",status="2xx"')).toBe(1)
  expect(await countOf('method="POST",route="/orders",status="4xx"')).toBe(1)
  expect(await countOf('method="none",route="none",status="4xx"')).toBe(1)
})

it('the number of series does not grow with the paths and methods that clients invent', async () => {
  const before = (await scrape(shop)).size
  const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD', 'PROPFIND', 'X-ODD']
  const prefixes = ['/', '/products/', '/orders/', '/internal/', '/problems/', '/docs/assets/']
  const answers = 10_000
  for (let sent = 0; sent < answers; ) {
    const batch = Array.from({ length: 50 }, () => {
      const path = `${prefixes[sent % prefixes.length]}${randomBytes(6).toString('hex')}`
      const method = methods[sent % methods.length] as string
      sent += 1
      return shop.request(method, sent % 7 === 0 ? `${path}/${sent}` : path)
    })
    await Promise.all(batch)
  }
  const after = await scrape(shop)
  const count = [...after]
    .filter(([series]) => series.startsWith('trivet_http_request_duration_seconds_count'))
    .reduce((sum, [, value]) => sum + value, 0)
  expect(count).toBeGreaterThan(answers)
  // Each route has at most one series set for each class of statuses, with eleven lines.
  expect(after.size - before).toBeLessThan(500)
  expect([...after.keys()].filter((series) => /[0-9a-f]{12}/.test(series))).toEqual([])
})
