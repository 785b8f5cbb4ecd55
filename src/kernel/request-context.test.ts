import { pino } from 'pino'
import { expect, it } from 'vitest'
import type { DomainError } from './errors.ts'
import { problemResponse } from './http-errors.ts'
import { requestContext } from './request-context.ts'
import { createRouter } from './router.ts'

it('a request that is never answered is 503 in time, and has its line in the log', async () => {
  const lines: Record<string, unknown>[] = []
  const logger = pino({}, { write: (line: string) => lines.push(JSON.parse(line)) })
  const router = createRouter()
  router.use(requestContext({ timeout: 100, logger }))
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
