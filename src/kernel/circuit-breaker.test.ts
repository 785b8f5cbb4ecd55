import { stat } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it, type TestContext, vi } from 'vitest'
import { textOf } from '#test/support/output.ts'
import { createCircuitBreaker } from './circuit-breaker.ts'
import { dependencyUnavailable } from './errors.ts'
import { createLogger } from './logger.ts'
import { createMetrics } from './metrics.ts'

const inTime = (milliseconds = 20_000) => ({ deadline: Date.now() + milliseconds, requestId: 'request-1' })
const never = new Promise<never>(() => {})

/** A circuit breaker of a neighbour that a test takes away and brings back. */
async function start({ onTestFinished }: TestContext) {
  const closing = new AbortController()
  onTestFinished(() => closing.abort())
  const output = new PassThrough()
  const log = textOf(output)
  const metrics = createMetrics()
  /** How the neighbour answers probes. */
  const state = {
    answer: (): Promise<unknown> => Promise.resolve(),
    probes: 0,
    running: 0,
    maxRunning: 0,
    slow: 0,
  }
  const breaker = createCircuitBreaker({
    name: 'stockroom',
    title: 'the stockroom',
    async probe(signal) {
      state.probes += 1
      state.running += 1
      state.maxRunning = Math.max(state.maxRunning, state.running)
      const aborted = new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason)),
      )
      await Promise.race([state.answer(), aborted]).finally(() => {
        state.running -= 1
      })
    },
    onSlow: () => {
      state.slow += 1
    },
    logger: await createLogger({ level: 'info', human: false, service: 'test', output }),
    metrics,
    signal: closing.signal,
  })
  return {
    breaker,
    state,
    log,
    isOpenInMetrics: async () =>
      (await metrics.scrape()).text.match(/trivet_circuit_open\{target="stockroom"\} (\d)/)?.[1],
    refuse: () => {
      state.answer = () => Promise.reject(new Error('connect ECONNREFUSED 127.0.0.1:9'))
    },
    freeze: () => {
      state.answer = () => never
    },
    comeBack: () => {
      state.answer = () => Promise.resolve()
    },
    isOpen: () => vi.waitFor(() => expect(breaker.isAway()).toBe(true), { timeout: 10_000, interval: 5 }),
    isClosed: () => vi.waitFor(() => expect(breaker.isAway()).toBe(false), { timeout: 10_000, interval: 5 }),
  }
}

it.concurrent('a circuit opens when work fails and two probes fail too, and closes once a probe succeeds', async (context) => {
  const { breaker, state, log, isOpenInMetrics, refuse, comeBack, isOpen, isClosed } = await start(context)
  refuse()
  const failed = breaker.waitFor(inTime(), Promise.reject(dependencyUnavailable('lost')))
  await expect(failed).rejects.toMatchObject({ message: 'lost' })
  expect(breaker.refusal()).toBeUndefined()
  expect(await isOpenInMetrics()).toBe('0')
  await isOpen()
  expect(await isOpenInMetrics()).toBe('1')
  expect(state.probes).toBe(2)
  expect(breaker.refusal()).toMatchObject({
    code: 'dependency_unavailable',
    message: 'the stockroom is not available',
  })
  await vi.waitFor(() => expect(state.probes).toBeGreaterThan(3), { timeout: 10_000 })
  comeBack()
  await isClosed()
  expect(breaker.refusal()).toBeUndefined()
  const lines = log()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines).toMatchObject([
    { target: 'stockroom', reason: 'connect ECONNREFUSED 127.0.0.1:9', msg: 'circuit opened' },
    { target: 'stockroom', durationMs: expect.any(Number), msg: 'circuit closed' },
  ])
})

it.concurrent('a circuit stays closed while probes succeed, however much work fails', async (context) => {
  const { breaker, state } = await start(context)
  for (let round = 0; round < 100; round++) {
    await breaker.waitFor(inTime(), Promise.reject(dependencyUnavailable('lost'))).catch(() => undefined)
  }
  await breaker.waitFor(inTime(50), never).catch(() => undefined)
  await vi.waitFor(() => expect(state.probes).toBeGreaterThan(0))
  expect(breaker.isAway()).toBe(false)
})

it.concurrent('a circuit stays closed while work succeeds, although no probe does', async (context) => {
  const { breaker, state, refuse } = await start(context)
  refuse()
  breaker.suspect()
  while (state.probes < 6) {
    await breaker.waitFor(inTime(), sleep(5))
    breaker.suspect()
  }
  expect(breaker.isAway()).toBe(false)
})

it.concurrent('a circuit opens within three seconds when a neighbour freezes, and work that waits fails at once', async (context) => {
  const { breaker, state, freeze, comeBack, isClosed } = await start(context)
  freeze()
  const began = performance.now()
  const waiting = [breaker.waitFor(inTime(), never), breaker.waitFor(inTime(), never)]
  const outcomes = await Promise.allSettled(waiting)
  expect(performance.now() - began).toBeLessThan(3_000)
  for (const outcome of outcomes)
    expect(outcome).toMatchObject({ reason: { message: 'the stockroom is not available' } })
  expect(breaker.isAway()).toBe(true)
  const late = performance.now()
  await expect(breaker.waitFor(inTime(), never)).rejects.toMatchObject({ code: 'dependency_unavailable' })
  expect(performance.now() - late).toBeLessThan(100)
  await vi.waitFor(() => expect(state.probes).toBeGreaterThan(3), { timeout: 10_000 })
  expect(state.maxRunning).toBe(1)
  comeBack()
  await isClosed()
})

it.concurrent('slow work is reported once every half second, and opens no circuit', async (context) => {
  const { breaker, state } = await start(context)
  const work = Array.from({ length: 10 }, () => breaker.waitFor(inTime(), sleep(1_800, 'done')))
  expect(await Promise.all(work)).toEqual(Array(10).fill('done'))
  expect(state.slow).toBeGreaterThanOrEqual(2)
  expect(state.slow).toBeLessThanOrEqual(3)
  expect(state.probes).toBeGreaterThan(0)
  expect(breaker.isAway()).toBe(false)
})

it.concurrent('quick work causes no probe', async (context) => {
  const { breaker, state } = await start(context)
  for (let n = 0; n < 200; n++) expect(await breaker.waitFor(inTime(), Promise.resolve(n))).toBe(n)
  await sleep(700)
  expect([state.probes, state.slow]).toEqual([0, 0])
})

it.concurrent('work ends at its deadline, and an error of the work is thrown unchanged', async (context) => {
  const { breaker, state } = await start(context)
  const began = performance.now()
  await expect(breaker.waitFor(inTime(50), never)).rejects.toMatchObject({
    code: 'dependency_unavailable',
    message: 'the stockroom did not answer in time',
  })
  expect(performance.now() - began).toBeLessThan(400)
  const fault = new TypeError('a mistake')
  const probesBefore = await vi.waitFor(() => {
    expect(state.running).toBe(0)
    return state.probes
  })
  await expect(breaker.waitFor(inTime(), Promise.reject(fault))).rejects.toBe(fault)
  expect(state.probes).toBe(probesBefore)
})

it('an answer that arrives while this process is busy counts, although the time of the probe is over', async (context) => {
  const { breaker, state } = await start(context)
  // The answer takes a few turns of the event loop, and each of them is long.
  state.answer = async () => {
    for (let turn = 0; turn < 4; turn++) {
      const until = performance.now() + 500
      while (performance.now() < until);
      await stat('.')
    }
  }
  breaker.suspect()
  await vi.waitFor(() => expect(state.running).toBe(0), { timeout: 10_000 })
  await sleep(300)
  expect(state.probes).toBe(1)
})
