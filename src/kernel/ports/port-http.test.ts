import { z } from '@hono/zod-openapi'
import { describe, expect, it, vi } from 'vitest'
import { DomainError, dependencyUnavailable } from '#kernel/errors.ts'
import { errorOf, problemOf } from '#kernel/http/problem-documents.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { createGate } from '#test/support/gate.ts'
import type { HttpClient } from './http-client.ts'
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

/** A client of a service with these answers, and the requests that the service received. */
function connected(answer: (calls: Calls) => unknown[] | Promise<unknown[]>) {
  const requests: Calls[] = []
  const repeated: [string, number][] = []
  let mayRepeat = true
  let away: DomainError | undefined
  const http: HttpClient = {
    name: port.name,
    isAway: () => false,
    refusal: () => away,
    probeWith: () => {},
    metrics: createMetrics(),
    errorOf: (problem) => errorOf(problem),
    async mayRepeat({ requestId }, attempt) {
      if (!mayRepeat || attempt >= 3) return false
      repeated.push([requestId, attempt])
      return true
    },
    async request(_call, { body, parse }) {
      const { calls } = body as { calls: Calls }
      requests.push(calls)
      return parse({ outcomes: await answer(calls) })
    },
  }
  const refuse = () => {
    mayRepeat = false
  }
  const goAway = (error: DomainError) => {
    away = error
  }
  const { port: client, refusal } = portClient(port, http)
  return { client, refusal, requests, repeated, refuse, goAway }
}

describe('calls that are made in one turn of the event loop', () => {
  it('the calls of one turn of the event loop share one request, with a deadline, a request id and an outcome for each', async () => {
    const { client, requests } = connected(doubled)
    const calls = [inTime('one'), { ...inTime('two'), deadline: Date.now() + 20_000 }, inTime('three')]
    const answers = await Promise.all(calls.map((call, n) => client.double({ n }, call)))
    expect(answers).toEqual([{ n: 0 }, { n: 2 }, { n: 4 }])
    expect(requests).toEqual([calls.map((call, n) => ({ request: { n }, call }))])
  })

  it('the calls of a later turn of the event loop are sent in another request', async () => {
    const { client, requests } = connected(doubled)
    await client.double({ n: 1 }, inTime('one'))
    await client.double({ n: 2 }, inTime('two'))
    expect(requests.map((calls) => calls.length)).toEqual([1, 1])
  })

  it('the calls of one turn are split into requests within the body limit', async () => {
    const { client, requests } = connected(doubled)
    const many = Array.from({ length: 2_500 }, (_, n) => client.double({ n }, inTime('x'.repeat(128))))
    expect(await Promise.all(many)).toHaveLength(2_500)
    expect(requests.flat()).toHaveLength(2_500)
    for (const calls of requests) {
      expect(calls.length).toBeLessThanOrEqual(1_000)
      expect(JSON.stringify({ calls }).length).toBeLessThan(1024 * 1024)
    }
  })

  it('the calls of one request fail separately', async () => {
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
    expect(failed).toMatchObject({ reason: { code: 'dependency_unavailable', message: 'late' } })
  })

  it('the calls of one request are repeated separately, without delay for the other calls', async () => {
    const problem = problemOf(dependencyUnavailable('the database is not available'))
    const { client, requests, repeated } = connected((calls) =>
      calls.map(({ request: { n } }) =>
        n === 1 && requests.length < 3 ? { problem } : { result: { n: n * 2 } },
      ),
    )
    const ended: number[] = []
    const calls = [0, 1, 2].map(async (n) => {
      const answer = await client.double({ n }, inTime(`no-${n}`))
      ended.push(n)
      return answer
    })
    expect(await Promise.all(calls)).toEqual([{ n: 0 }, { n: 2 }, { n: 4 }])
    expect(ended.at(-1)).toBe(1)
    expect(requests.map((calls) => calls.map(({ request: { n } }) => n))).toEqual([[0, 1, 2], [1], [1]])
    expect(repeated).toEqual([
      ['no-1', 1],
      ['no-1', 2],
    ])
  })

  it('a call whose first attempt may have taken effect fails with dependency_unavailable if the next one is refused as overloaded', async () => {
    const lost = problemOf(dependencyUnavailable('no answer'))
    const refused = problemOf(new DomainError('overloaded', 'the queue is full'))
    const { client, requests } = connected(() => [{ problem: requests.length > 1 ? refused : lost }])
    await expect(client.double({ n: 1 }, inTime('no-1'))).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'no answer',
    })
    expect(requests).toHaveLength(2)
  })

  it('a call is not repeated without retry budget, without time, or after a defect of the service', async () => {
    const late = connected((calls) =>
      calls.map(() => ({ problem: problemOf(dependencyUnavailable('late')) })),
    )
    late.refuse()
    await expect(late.client.double({ n: 1 }, inTime('one'))).rejects.toMatchObject({ message: 'late' })
    expect(late.requests).toHaveLength(1)
    const fault = problemOf(new DomainError('internal_error', 'a damaged document'))
    const faulty = connected((calls) => calls.map(() => ({ problem: fault })))
    await expect(faulty.client.double({ n: 1 }, inTime('one'))).rejects.toMatchObject({
      code: 'dependency_unavailable',
    })
    expect(faulty.requests).toHaveLength(1)
  })

  it.each([
    ['fewer outcomes than calls', () => [{ result: { n: 1 } }]],
    ['results of another format', () => [{ result: 'two' }, { result: 'four' }]],
  ])('the calls of a request fail with dependency_unavailable if the answer has %s', async (_, answer) => {
    const { client } = connected(answer)
    const calls = [1, 2].map((n) => client.double({ n }, inTime(`no-${n}`)))
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'dependency_unavailable' } })
    }
  })
})

describe('a client that would refuse a call', () => {
  const overloadedError = { code: 'overloaded' }

  it('a client refuses new work while 1,000 calls wait, and still sends the calls that are made', async () => {
    const gate = createGate()
    const { client, refusal, requests } = connected(async (calls) => {
      await gate.pass()
      return doubled(calls)
    })
    const waiting = Array.from({ length: 999 }, (_, n) => client.double({ n }, inTime('one')))
    expect(refusal()).toBeUndefined()
    waiting.push(client.double({ n: 999 }, inTime('one')))
    expect(refusal()).toMatchObject(overloadedError)
    waiting.push(client.double({ n: 1_000 }, inTime('one')))
    gate.open()
    expect((await Promise.all(waiting)).at(-1)).toEqual({ n: 2_000 })
    expect(requests.flat()).toHaveLength(1_001)
    expect(refusal()).toBeUndefined()
  })

  it('a client refuses new work for a moment after the service has refused a call as overloaded', async () => {
    const { client, refusal } = connected((calls) =>
      calls.map(() => ({ problem: problemOf(new DomainError('overloaded', 'full')) })),
    )
    await expect(client.double({ n: 1 }, inTime('one'))).rejects.toMatchObject(overloadedError)
    expect(refusal()).toMatchObject(overloadedError)
    await vi.waitFor(() => expect(refusal()).toBeUndefined())
  })

  it('a client refuses new work while the service is away', () => {
    const { refusal, goAway } = connected(doubled)
    const error = dependencyUnavailable('doubling is not available')
    goAway(error)
    expect(refusal()).toBe(error)
  })
})
