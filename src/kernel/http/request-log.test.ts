import { expect, it } from 'vitest'
import { DomainError, dependencyUnavailable } from '#kernel/errors.ts'
import { recordLog } from '#test/support/recorded-log.ts'
import { failureResponse } from './problem-documents.ts'
import { requestContext } from './request-context.ts'
import { createRouter } from './router.ts'

const [debug, info, warn, error] = [20, 30, 40, 50]

/** A router whose log is recorded. */
async function loggedRouter({ level = 'info', timeoutMs = 1_000 } = {}) {
  const { logger, lines } = await recordLog(level)
  const router = createRouter()
  router.use(requestContext({ timeoutMs, logger }))
  router.onError((failure, c) => failureResponse(c, failure))
  return { router, lines }
}

it('a request is one line with its ids, its user, the template of its route, its status and its duration', async () => {
  const { router, lines } = await loggedRouter()
  router.get('/things/:thingId/parts/:partId', (c) => {
    c.set('principal', { userId: 'ada', role: 'customer' })
    return c.body(null, 204)
  })
  await router.request('/things/7/parts/8?secret=1', {
    headers: { 'X-Request-Id': 'one', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
  })
  expect(lines).toEqual([
    {
      level: info,
      time: expect.any(Number),
      service: 'test',
      msg: 'request',
      requestId: 'one',
      traceId: 'a'.repeat(32),
      userId: 'ada',
      method: 'GET',
      route: '/things/{thingId}/parts/{partId}',
      path: '/things/7/parts/8',
      status: 204,
      durationMs: expect.any(Number),
    },
  ])
})

it('a request without a route is logged with the beginning of its path', async () => {
  const { router, lines } = await loggedRouter()
  await router.request(`/${'x'.repeat(10_000)}`)
  expect(lines).toMatchObject([{ status: 404, path: `/${'x'.repeat(199)}…` }])
  expect(lines[0]).not.toHaveProperty('route')
})

it('a refused request is logged with its code and without an error', async () => {
  const { router, lines } = await loggedRouter()
  router.get('/refused', () => {
    throw new DomainError('forbidden', 'not yours')
  })
  await router.request('/refused')
  expect(lines).toMatchObject([{ level: info, route: '/refused', status: 403, code: 'forbidden' }])
  expect(lines[0]).not.toHaveProperty('err')
})

it('an expected failure is one warning with its causes and without a stack, and a defect is one error with a stack', async () => {
  const { router, lines } = await loggedRouter()
  router.get('/away', () => {
    throw dependencyUnavailable('product is not available', new Error('connection refused'))
  })
  router.get('/broken', () => {
    throw new TypeError('x is undefined', { cause: new Error('y') })
  })
  expect((await router.request('/away')).status).toBe(503)
  expect((await router.request('/broken')).status).toBe(500)
  expect(lines).toMatchObject([
    {
      level: warn,
      route: '/away',
      status: 503,
      code: 'dependency_unavailable',
      err: { message: 'product is not available: connection refused' },
    },
    {
      level: error,
      route: '/broken',
      status: 500,
      err: { type: 'TypeError', message: 'x is undefined: y', stack: expect.stringContaining('at ') },
    },
  ])
  expect(lines[0].err).not.toHaveProperty('stack')
})

it('an error whose code no table has is logged as a defect that names the code', async () => {
  const { router, lines } = await loggedRouter()
  router.get('/unknown', () => {
    throw new DomainError('insufficient_stock', 'there is no cup')
  })
  expect((await router.request('/unknown')).status).toBe(500)
  const message = 'no problems.ts has the code insufficient_stock: there is no cup'
  expect(lines).toMatchObject([{ level: error, err: { message, stack: expect.stringContaining('at ') } }])
})

it('failures that repeat are counted by route and cause, and are written one by one at level debug', async () => {
  for (const [level, written] of [
    ['info', 3],
    ['debug', 30],
  ] as const) {
    const { router, lines } = await loggedRouter({ level })
    router.get('/:thing', (c) => {
      throw dependencyUnavailable(c.req.param('thing') === 'late' ? 'no answer in time' : 'refused')
    })
    router.post('/:thing', () => {
      throw dependencyUnavailable('refused')
    })
    for (let n = 0; n < 10; n++) {
      await router.request('/late')
      await router.request(`/refused-${n}`)
      await router.request(`/refused-${n}`, { method: 'POST' })
    }
    expect(lines).toHaveLength(written)
  }
})

it('a probe that succeeds is logged at debug, and a probe that fails at info', async () => {
  const { router, lines } = await loggedRouter({ level: 'debug' })
  for (const status of [200, 503] as const) {
    router.get(`/probe/${status}`, (c) => {
      c.set('probe', true)
      return c.body(null, status)
    })
    router.get(`/other/${status}`, (c) => c.body(null, status))
  }
  for (const path of ['/probe/200', '/probe/503', '/other/200', '/other/503']) await router.request(path)
  expect(lines.map(({ path, level }) => [path, level])).toEqual([
    ['/probe/200', debug],
    ['/probe/503', info],
    ['/other/200', info],
    ['/other/503', warn],
  ])
})

it('a request gets 503 at its deadline if its handler never answers, and is logged once', async () => {
  const { router, lines } = await loggedRouter({ timeoutMs: 100 })
  router.get('/slow', () => new Promise<never>(() => {}))
  const startedAtMs = performance.now()
  const answer = await router.request('/slow', { headers: { 'X-Request-Id': 'slow-1' } })
  expect(performance.now() - startedAtMs).toBeLessThan(3_000)
  expect(answer.status).toBe(503)
  expect(await answer.json()).toMatchObject({ code: 'dependency_unavailable', requestId: 'slow-1' })
  expect(lines).toMatchObject([
    {
      level: warn,
      route: '/slow',
      status: 503,
      requestId: 'slow-1',
      err: { message: 'the request did not answer in time' },
    },
  ])
})
