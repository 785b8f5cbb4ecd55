import { z } from '@hono/zod-openapi'
import { describe, expect, it } from 'vitest'
import { DomainError, dependencyUnavailable } from './errors.ts'
import type { HttpClient } from './http-client.ts'
import { problemOf } from './http-errors.ts'
import { definePort } from './port.ts'
import { portClient } from './port-http.ts'

interface Doubling {
  double(request: { n: number }, call: { deadline: number; requestId: string }): Promise<{ n: number }>
}
const port = definePort<Doubling>('doubling', {
  double: { request: z.object({ n: z.int() }), result: z.object({ n: z.int() }) },
})

type Calls = { request: { n: number }; call: { requestId: string } }[]
const inTime = (requestId: string) => ({ deadline: Date.now() + 10_000, requestId })
const doubled = (calls: Calls): unknown[] => calls.map(({ request }) => ({ result: { n: request.n * 2 } }))

/** A service that answers as it is told to, and what it was sent. */
function connected(answer: (calls: Calls) => unknown[]) {
  const requests: Calls[] = []
  const http: HttpClient = {
    async request(_call, { body, parse }) {
      const { calls } = body as { calls: Calls }
      requests.push(calls)
      return parse({ outcomes: answer(calls) })
    },
  }
  return { client: portClient(port, http), requests }
}

describe('calls that are made in one round of the event loop', () => {
  it('travel in one request, each with its own deadline and request id, and get their own outcomes', async () => {
    const { client, requests } = connected(doubled)
    const calls = [inTime('one'), { ...inTime('two'), deadline: Date.now() + 20_000 }, inTime('three')]
    const answers = await Promise.all(calls.map((call, n) => client.double({ n }, call)))
    expect(answers).toEqual([{ n: 0 }, { n: 2 }, { n: 4 }])
    expect(requests).toEqual([calls.map((call, n) => ({ request: { n }, call }))])
  })

  it('do not wait for those of earlier rounds', async () => {
    const { client, requests } = connected(doubled)
    await client.double({ n: 1 }, inTime('one'))
    await client.double({ n: 2 }, inTime('two'))
    expect(requests.map((calls) => calls.length)).toEqual([1, 1])
  })

  it('are in as many requests as the body limit asks for', async () => {
    const { client, requests } = connected(doubled)
    const many = Array.from({ length: 2_500 }, (_, n) => client.double({ n }, inTime('x'.repeat(128))))
    expect(await Promise.all(many)).toHaveLength(2_500)
    expect(requests.flat()).toHaveLength(2_500)
    for (const calls of requests) {
      expect(calls.length).toBeLessThanOrEqual(1_000)
      expect(JSON.stringify({ calls }).length).toBeLessThan(1024 * 1024)
    }
  })

  it('fail each by itself', async () => {
    const refusal = new DomainError('idempotency_key_reused', 'other lines')
    const { client } = connected((calls) =>
      calls.map(({ request: { n } }) =>
        n === 0
          ? { result: { n } }
          : { problem: problemOf(n === 1 ? refusal : dependencyUnavailable('late')) },
      ),
    )
    const [good, refused, failed] = await Promise.allSettled(
      [0, 1, 2].map((n) => client.double({ n }, inTime(`no-${n}`))),
    )
    expect(good).toEqual({ status: 'fulfilled', value: { n: 0 } })
    expect(refused).toMatchObject({ reason: { code: 'idempotency_key_reused' } })
    expect(failed).toMatchObject({ reason: { code: 'dependency_unavailable' } })
  })

  it('fail as a request where all of them fail, so that the client tries again', async () => {
    const thrown: unknown[] = []
    const failing: HttpClient = {
      async request(_call, { body, parse }) {
        const { calls } = body as { calls: Calls }
        const problem = problemOf(dependencyUnavailable('the database is not available'))
        try {
          return parse({ outcomes: calls.map(() => ({ problem })) })
        } catch (error) {
          thrown.push(error)
          return parse({ outcomes: doubled(calls) })
        }
      },
    }
    const client = portClient(port, failing)
    const asked = [1, 2].map((n) => client.double({ n }, inTime(`no-${n}`)))
    expect(await Promise.all(asked)).toEqual([{ n: 2 }, { n: 4 }])
    expect(thrown).toMatchObject([{ code: 'dependency_unavailable' }])
  })

  it.each([
    ['fewer outcomes than calls', () => [{ result: { n: 1 } }]],
    ['something else', () => [{ result: 'two' }, { result: 'four' }]],
  ])('are unavailable where the answer is %s', async (_, answer) => {
    const { client } = connected(answer)
    const asked = [1, 2].map((n) => client.double({ n }, inTime(`no-${n}`)))
    for (const outcome of await Promise.allSettled(asked)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'dependency_unavailable' } })
    }
  })
})
