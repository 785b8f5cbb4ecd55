import { pino } from 'pino'
import { expect, it } from 'vitest'
import type { DomainError } from '#kernel/errors.ts'
import { problemResponse } from './problem-documents.ts'
import { requestContext } from './request-context.ts'
import { createRouter } from './router.ts'

it('a probe that succeeds is logged at debug, and a probe that fails at info', async () => {
  const lines: Record<string, unknown>[] = []
  const logger = pino({ level: 'debug' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  const router = createRouter()
  router.use(requestContext({ timeoutMs: 1_000, logger }))
  for (const status of [200, 503] as const) {
    router.get(`/probe/${status}`, (c) => {
      c.set('probe', true)
      return c.body(null, status)
    })
    router.get(`/other/${status}`, (c) => c.body(null, status))
  }
  for (const path of ['/probe/200', '/probe/503', '/other/200', '/other/503']) await router.request(path)
  const { debug, info, error } = logger.levels.values
  expect(lines.map(({ path, level }) => [path, level])).toEqual([
    ['/probe/200', debug],
    ['/probe/503', info],
    ['/other/200', info],
    ['/other/503', error],
  ])
})

it('a request gets 503 at its deadline if its handler never answers, and the timeout is logged', async () => {
  const lines: Record<string, unknown>[] = []
  const logger = pino({}, { write: (line: string) => lines.push(JSON.parse(line)) })
  const router = createRouter()
  router.use(requestContext({ timeoutMs: 100, logger }))
  router.get('/slow', () => new Promise<never>(() => {}))
  router.onError((error, c) => problemResponse(c, error as DomainError))
  const started = performance.now()
  const answer = await router.request('/slow', { headers: { 'X-Request-Id': 'slow-1' } })
  expect(performance.now() - started).toBeLessThan(1_000)
  expect(answer.status).toBe(503)
  expect(await answer.json()).toMatchObject({ code: 'dependency_unavailable', requestId: 'slow-1' })
  expect(lines).toMatchObject([
    { msg: 'request timed out', method: 'GET', path: '/slow', requestId: 'slow-1' },
  ])
})
