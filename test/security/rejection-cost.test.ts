import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCredentialIssuer } from '#kernel/ports/service-credential.ts'
import type { Account } from '#test/support/client.ts'
import { type Shop, startShop } from '#test/support/shop.ts'

// A refused request must not cost much more than an accepted request of the same size, in CPU time of this process and in
// bytes of the answer. CPU time does not depend on the load of the machine.
const internalSecret = 'a secret that only these services know'
const maxCostFactor = 3
const maxAnswerBytes = 16 * 1024

let shop: Shop
let token: string
let customer: Account
let productId: string
beforeAll(async () => {
  shop = await startShop({ environment: { INTERNAL_SECRET: internalSecret } })
  customer = await shop.customer()
  token = customer.token
  productId = (await shop.product(shop.adminToken, { stock: 1_000_000 })).productId
})
afterAll(() => shop.close())

interface Exchange {
  method: string
  path: string
  headers?: Record<string, string>
  body?: string
  /** Issues a service credential. It expires after 60 s, so each request has its own. */
  credential?: () => Promise<string>
}

/**
 * Measures the CPU milliseconds of one request, the best of several rounds, and returns its answer.
 * @param enough the cost after which no further round is needed
 */
async function costOf({ method, path, headers = {}, body, credential }: Exchange, enough = 0) {
  const type = { 'content-type': 'application/json' }
  const length: Record<string, string> =
    body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const makeInit = async (): Promise<RequestInit> => {
    const authorization = credential && { authorization: `Bearer ${await credential()}` }
    return {
      method,
      headers: { ...type, ...length, ...headers, ...authorization },
      ...(body !== undefined && { body }),
    }
  }
  const times = (body?.length ?? 0) > 100_000 ? 2 : 10
  let best = Number.POSITIVE_INFINITY
  let status = 0
  let text = ''
  for (let round = 0; round < 6 && best > enough; round++) {
    const inits: RequestInit[] = []
    for (let time = 0; time < times; time++) inits.push(await makeInit())
    const before = process.cpuUsage()
    for (const init of inits) {
      const answer = await shop.fetch(new Request(`http://shop.example${path}`, init))
      status = answer.status
      text = await answer.text()
    }
    const { user, system } = process.cpuUsage(before)
    best = Math.min(best, (user + system) / 1_000 / times)
  }
  return { cost: best, status, text }
}

const baselines = new Map<string, Promise<number>>()

/** Measures the cost of an accepted request once. */
function baselineOf(what: string, accepted: Exchange): Promise<number> {
  const measure = async () => {
    // The first round also compiles the code.
    await costOf(accepted, Number.MAX_VALUE)
    const { cost, status, text } = await costOf(accepted)
    expect(status, `${what}: ${text.slice(0, 200)}`).toBeLessThan(300)
    return cost
  }
  const baseline = baselines.get(what) ?? measure()
  baselines.set(what, baseline)
  return baseline
}

async function expectCheap(refused: Exchange, baseline: number, label: string) {
  const limit = maxCostFactor * baseline
  // A garbage collection may distort the first measurement.
  let measured = await costOf(refused, limit)
  if (measured.cost > limit) measured = await costOf(refused, limit)
  const { cost, status, text } = measured
  expect(status, `${label}: ${text.slice(0, 200)}`).toBeGreaterThanOrEqual(400)
  expect(status, label).toBeLessThan(500)
  expect(Buffer.byteLength(text), label).toBeLessThan(maxAnswerBytes)
  expect(cost, `${label}: ${cost} ms, against ${baseline} ms`).toBeLessThanOrEqual(limit)
}

const repeat = (count: number, one: (at: number) => string) =>
  Array.from({ length: Math.max(1, Math.floor(count)) }, (_, at) => one(at)).join(',')

/** Bodies of about `size` bytes that every route refuses. */
const bodies: Record<string, (size: number) => string> = {
  'unknown fields': (size) => `{${repeat(size / 9, (at) => `"${at.toString(36)}":0`)}}`,
  'unknown fields with long names': (size) =>
    `{${repeat(size / 1_000, (at) => `"${'k'.repeat(990)}${at}":0`)}}`,
  'unknown fields with names of control characters': (size) =>
    `{${repeat(size / 300, (at) => `"${'\\u0001'.repeat(48)}${at}":0`)}}`,
  'one field with a long name': (size) => `{"${'k'.repeat(size)}":0}`,
  'the prototype': (size) => `{${repeat(size / 15, () => '"__proto__":{}')}}`,
  'wrong entries': (size) => `{"productList":[${repeat(size / 2, () => '0')}]}`,
  'empty entries': (size) => `{"productList":[${repeat(size / 3, () => '{}')}]}`,
  'the maximum number of wrong entries': (size) =>
    `{"productList":[${repeat(100, (at) => `{"${'x'.repeat(size / 100)}${at}":[],"quantity":0}`)}]}`,
  'a thousand wrong lines': (size) =>
    `{"productList":[${repeat(1_000, () => `{"productId":"${'z'.repeat(size / 1_000)}"}`)}]}`,
  'lists in lists': (size) => '['.repeat(size / 2) + ']'.repeat(size / 2),
  'objects in objects': (size) => `${'{"a":'.repeat(size / 6)}1${'}'.repeat(size / 6)}`,
  'lists without an end': (size) => '['.repeat(size),
  'a long number': (size) => `{"username":${'1'.repeat(size)}}`,
  'a long exponent': (size) => `{"price":1e${'9'.repeat(size)}}`,
  'a long string': (size) => `{"username":"${'a'.repeat(size)}","name":"${'a'.repeat(10)}"}`,
  'a long password': (size) =>
    `{"username":"ada","email":"ada@example.com","password":"${'é'.repeat(size / 2)}"}`,
  'a long password at sign-in': (size) => `{"username":"ada","password":"${'a'.repeat(size)}"}`,
  'a long e-mail address': (size) =>
    `{"email":"${'a.'.repeat(size / 4)}@${'b-'.repeat(size / 4)}","password":"x"}`,
  'a long name': (size) => `{"name":"${'😀'.repeat(size / 4)}","price":1,"stock":1}`,
  'combining marks': (size) => `{"name":"${'\u0301'.repeat(size / 2)}","price":1,"stock":1}`,
  'white space for a name': (size) => `{"name":"${' '.repeat(size)}","price":1,"stock":1}`,
  'unpaired surrogates': (size) => `{"name":"${'\\ud800'.repeat(size / 6)}","price":1,"stock":1}`,
  'commas in a string': (size) => `{"name":"${','.repeat(size)}","price":1,"stock":1}`,
  'nothing but white space': (size) => ' '.repeat(size),
}

describe('a body that is refused', () => {
  const routes: Record<
    string,
    () => { valid: string; token?: string; bodies?: Record<string, (size: number) => string> }
  > = {
    '/logout': () => ({ valid: '' }),
    '/register': () => ({ valid: '' }),
    '/login': () => ({ valid: '' }),
    '/orders': () => ({
      valid: JSON.stringify({ productList: [{ productId, quantity: 1 }] }),
      token,
    }),
    '/products': () => ({
      valid: '{"name":"Cup","price":1,"stock":1}',
      token: shop.adminToken,
    }),
  }

  it.each(Object.keys(routes))(
    'a refused body costs at most three times an accepted one and has a short answer: %s',
    async (path) => {
      const { valid, token } = routes[path]?.() ?? { valid: '' }
      const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
      const signIn = JSON.stringify({ username: customer.username, password: customer.password })
      for (const size of [2_000, 50_000, 850_000]) {
        // For the account routes, the baseline is a sign-in with the cheapest hash.
        const accepted = valid === '' ? { path: '/login', body: signIn } : { path, body: valid }
        const padded = `${accepted.body.slice(0, -1)}${' '.repeat(size - accepted.body.length)}}`
        const exchange = { method: 'POST', headers, ...accepted, body: padded }
        const baseline = await baselineOf(`${accepted.path}, ${size} bytes`, exchange)
        for (const [what, make] of Object.entries(bodies)) {
          await expectCheap(
            { method: 'POST', path, headers, body: make(size) },
            baseline,
            `${what}, ${size} bytes`,
          )
        }
      }
    },
    120_000,
  )

  it('40 concurrent refused bodies of 850 kB need less than 250 MB', async () => {
    const body = bodies['unknown fields']?.(850_000) ?? ''
    const before = process.memoryUsage().rss
    let maxRss = 0
    await Promise.all(
      Array.from({ length: 40 }, async () => {
        const { status } = await shop.post('/login', { raw: body })
        expect(status).toBe(400)
        maxRss = Math.max(maxRss, process.memoryUsage().rss)
      }),
    )
    expect((maxRss - before) / 1024 / 1024).toBeLessThan(250)
  })
})

describe('a head that is refused', () => {
  const size = 15_000
  const queries: Record<string, string> = {
    'many parameters': Array.from({ length: 3_000 }, (_, at) => `${at.toString(36)}=`).join('&'),
    'one parameter many times': 'limit=1&'.repeat(size / 8),
    'nothing but separators': `${'&'.repeat(size)}limit=1`,
    'a long name': 'k'.repeat(size),
    'a long value': `limit=${'1'.repeat(size)}`,
    'a long cursor': `cursor=${'x'.repeat(size)}`,
    'a cursor of the maximum length': `cursor=${Buffer.from(`[${'['.repeat(2_990)}`).toString('base64url')}`,
    'a cursor of many fields': `cursor=${Buffer.from(`{${repeat(300, (at) => `"${at}":{}`)}}`).toString('base64url')}`,
    escapes: `limit=${'%C3%A9'.repeat(size / 6)}`,
    'escapes of control characters': `${'%01'.repeat(size / 3)}=1`,
    'invalid escapes': `limit=${'%zz'.repeat(size / 3)}`,
    'an invalid escape at the end': `${'limit=%41&'.repeat(size / 10)}%`,
  }
  it.each(Object.keys(queries))(
    'a refused query costs at most three times an accepted request: %s',
    async (what) => {
      for (const [path, bearer] of [
        ['/products', ''],
        ['/orders', `Bearer ${token}`],
        ['/profile', `Bearer ${token}`],
      ] as const) {
        const headers = { authorization: bearer }
        const padded = { ...headers, cookie: 'x'.repeat(size) }
        const baseline = await baselineOf(path, { method: 'GET', path, headers: padded })
        await expectCheap(
          { method: 'GET', path: `${path}?${queries[what]}`, headers },
          baseline,
          `${path}, ${what}`,
        )
      }
    },
  )

  const heads: Record<string, Record<string, string>> = {
    'many entity tags': { 'if-match': repeat(size / 3, () => '""') },
    'an invalid list of entity tags': { 'if-match': `${repeat(size / 3, () => '""')}x` },
    'white space between entity tags': { 'if-match': `"1"${' '.repeat(size)}"2"` },
    'nothing but commas': { 'if-match': ','.repeat(size) },
    'many entity tags in If-None-Match': { 'if-none-match': `${repeat(size / 5, () => 'W/""')},*` },
    'a long token': { authorization: `Bearer ${'a'.repeat(size)}` },
    'a token of dots': { authorization: `Bearer ${'a.'.repeat(size / 2)}` },
    'a long key': { 'idempotency-key': 'k'.repeat(size), 'if-match': '2' },
    'a long request id': { 'x-request-id': 'i'.repeat(size), 'if-match': '2' },
    'many addresses in X-Forwarded-For': {
      'x-forwarded-for': repeat(size / 9, () => '10.0.0.1'),
      'if-match': '2',
    },
    'many media types in Accept': { accept: repeat(size / 4, () => 'a/b'), 'if-match': '2' },
  }
  it.each(Object.keys(heads))(
    'a request with refused headers costs at most three times an accepted request: %s',
    async (what) => {
      const path = `/products/${productId}`
      const bearer = { authorization: `Bearer ${shop.adminToken}` }
      // This update changes nothing.
      const body = JSON.stringify({ price: 12.9, version: 1 })
      const padded = { ...bearer, cookie: 'x'.repeat(size) }
      const baseline = await baselineOf('an update', { method: 'PUT', path, headers: padded, body })
      await expectCheap({ method: 'PUT', path, headers: { ...bearer, ...heads[what] }, body }, baseline, what)
    },
  )

  it('a long path is refused with a short answer', async () => {
    const probe = { method: 'GET', path: '/healthz', headers: { cookie: 'x'.repeat(size) } }
    const baseline = await baselineOf('a probe', probe)
    for (const path of [
      `/${'x'.repeat(size)}`,
      `/${'a/'.repeat(size / 2)}`,
      `/problems/${'%01'.repeat(size / 3)}`,
      `/products/${'x'.repeat(size)}`,
      `/products/${'%E2%82%AC'.repeat(size / 9)}`,
      `/${'%FF'.repeat(size / 3)}`,
    ]) {
      await expectCheap({ method: 'GET', path }, 3 * baseline, path.slice(0, 30))
    }
  })
})

describe('an order that cannot be met', () => {
  const order = (productList: object[]) => shop.order(token, productList)
  const size = ({ body }: { body: unknown }) => Buffer.byteLength(JSON.stringify(body))

  it('an order of 100 unknown products is refused with a short answer', async () => {
    const lines = Array.from({ length: 100 }, (_, at) => ({
      productId: `${'f'.repeat(22)}${at.toString(16).padStart(2, '0')}`,
      quantity: 1_000,
    }))
    const answer = await order(lines)
    expect(answer).toMatchObject({ status: 422, body: { code: 'unknown_product' } })
    expect(answer.body.productIds).toHaveLength(100)
    expect(size(answer)).toBeLessThan(maxAnswerBytes)
  })

  it('an order over the stock of 100 products is refused with a short answer', async () => {
    const products = await Promise.all(
      Array.from({ length: 100 }, () => shop.product(shop.adminToken, { stock: 999 })),
    )
    const short = await order(products.map(({ productId }) => ({ productId, quantity: 1_000 })))
    expect(short).toMatchObject({ status: 409, body: { code: 'insufficient_stock' } })
    expect(short.body.items).toHaveLength(100)
    expect(size(short)).toBeLessThan(maxAnswerBytes)
    const [first] = products
    const again = await order(Array(100).fill({ productId: first?.productId, quantity: 1_000 }))
    expect(again.body.items).toEqual([{ productId: first?.productId, requested: 100_000, available: 999 }])
  })
})

describe('a list of calls under /internal', () => {
  const issue = createCredentialIssuer(internalSecret)
  const credential = () => issue('product')
  const exchange = (request: (at: number) => object, count: number): Exchange => ({
    method: 'POST',
    path: '/internal/product/release',
    credential,
    body: JSON.stringify({
      calls: Array.from({ length: count }, (_, at) => ({
        request: request(at),
        call: { deadline: Date.now() + 600_000, requestId: 'internal' },
      })),
    }),
  })
  const release = (at: number) => ({ orderId: `${'e'.repeat(21)}${at.toString(16).padStart(3, '0')}` })

  it.each<[string, (at: number) => object]>([
    ['malformed order ids', () => ({ orderId: 'x'.repeat(24) })],
    ['unknown fields', (at) => ({ [`order${at}`]: 'x'.repeat(20) })],
    ['long values', () => ({ orderId: 'x'.repeat(700) })],
    [
      'many unknown fields in each call',
      () => Object.fromEntries(Array.from({ length: 80 }, (_, at) => [`f${at}`, 0])),
    ],
  ])(
    'a refused list of internal calls costs at most three times an accepted one and has a short answer: %s',
    async (_, request) => {
      const baseline = await baselineOf('1,000 calls', exchange(release, 1_000))
      await expectCheap(exchange(request, 1_000), baseline, '1,000 calls')
    },
  )

  it('a list of internal calls is answered call by call if one of them is valid', async () => {
    const { path, body } = exchange((at) => (at === 7 ? release(at) : { orderId: 'x' }), 300)
    const answer = await shop.post(path, { token: await credential(), raw: body ?? '' })
    expect(answer.status).toBe(200)
    const { outcomes } = answer.body
    expect(outcomes[7]).toEqual({ result: { state: 'released' } })
    expect(outcomes[8]).toEqual({ problem: { code: 'validation_failed' } })
    expect(JSON.stringify(answer.body).length).toBeLessThan(maxAnswerBytes)
  })

  it.each([
    ['not UTF-8', Buffer.from('{"calls":["\xff"]}', 'latin1'), 400, 'malformed_json'],
    ['not JSON', Buffer.from('{"calls":['), 400, 'malformed_json'],
    ['not a list of calls', Buffer.from('{"calls":{}}'), 400, 'validation_failed'],
    [
      'a list of too many calls',
      Buffer.from(`{"calls":[${repeat(2_000, () => '{}')}]}`),
      400,
      'validation_failed',
    ],
  ])('a list of internal calls is refused as a whole if the body is %s', async (_, raw, status, code) => {
    const options = { token: await credential(), raw: new Uint8Array(raw) }
    const answer = await shop.post('/internal/product/release', options)
    expect(answer).toMatchObject({ status, body: { code } })
  })
})
