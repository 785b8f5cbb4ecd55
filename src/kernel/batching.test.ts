import { describe, expect, it } from 'vitest'
import { batched, type QueuedRequest } from './batching.ts'
import { type Call, createCall } from './call.ts'
import { DomainError } from './errors.ts'

const newCall = (timeoutMs = 10_000) => createCall(timeoutMs, 'request-1')
const turnOfEventLoop = () => new Promise((resolve) => setImmediate(resolve))

/** Batched work. The test ends each batch. */
function controlled(options: Partial<Parameters<typeof batched>[0]> = {}) {
  const batches: {
    requests: number[]
    call: Call
    end(outcomes?: (number | Error)[]): void
    fail(error: Error): void
  }[] = []
  const submit = batched<number, number>(
    { name: 'the work', maxConcurrent: 1, maxWaiting: 100, maxBatchWeight: 100, ...(options as object) },
    (batch: readonly QueuedRequest<number>[], call) =>
      new Promise((resolve, reject) => {
        const requests = batch.map(({ request }) => request)
        batches.push({ requests, call, end: (outcomes = requests) => resolve(outcomes), fail: reject })
      }),
  )
  return { submit, batches }
}

const batchesOf = ({ batches }: ReturnType<typeof controlled>) => batches.map(({ requests }) => requests)

it('the queue counts the requests of a batch that has given up its slot as waiting', async () => {
  const work = controlled({ maxWaiting: 2, slotTimeoutMs: 20 })
  const late = [work.submit(1, newCall()), work.submit(2, newCall())]
  await expect.poll(() => work.batches.length).toBe(1)
  // After the slot's timeout, the next batch starts beside the first one.
  await expect
    .poll(() =>
      work.submit(3, newCall()).then(
        () => 'answered',
        (error: DomainError) => error.code,
      ),
    )
    .toBe('overloaded')
  work.batches[0]?.end()
  expect(await Promise.all(late)).toEqual([1, 2])
})

it('the queue rejects a request whose weight cannot be computed, and executes the others', async () => {
  const work = controlled({
    weightOf: (request) => {
      if (request === 2) throw new Error('no weight')
      return 1
    },
  } as Partial<Parameters<typeof batched>[0]>)
  const submitted = [1, 2, 3].map((request) => work.submit(request, newCall()))
  await expect(submitted[1]).rejects.toThrow('no weight')
  await turnOfEventLoop()
  expect(batchesOf(work)).toEqual([[1, 3]])
  work.batches[0]?.end()
  expect(await Promise.all([submitted[0], submitted[2]])).toEqual([1, 3])
})

it('the queue pauses between two batches, and puts the requests that arrive meanwhile into the next batch', async () => {
  let pauseMs = 30
  const work = controlled({ pauseMs: () => pauseMs })
  const first = work.submit(1, newCall())
  await turnOfEventLoop()
  const later = [work.submit(2, newCall())]
  const ended = performance.now()
  work.batches[0]?.end()
  await first
  await turnOfEventLoop()
  later.push(work.submit(3, newCall()))
  pauseMs = 0
  await expect.poll(() => batchesOf(work)).toEqual([[1], [2, 3]])
  expect(performance.now() - ended).toBeGreaterThan(28)
  work.batches[1]?.end()
  await Promise.all(later)
  const next = work.submit(4, newCall())
  await turnOfEventLoop()
  expect(batchesOf(work).at(-1)).toEqual([4])
  work.batches[2]?.end()
  await next
})

describe('the queue', () => {
  it('the queue starts all requests of a turn of the event loop together at its end', async () => {
    const work = controlled()
    const submitted = [1, 2, 3].map((request) => work.submit(request, newCall()))
    await turnOfEventLoop()
    expect(batchesOf(work)).toEqual([[1, 2, 3]])
    work.batches[0]?.end()
    expect(await Promise.all(submitted)).toEqual([1, 2, 3])
  })

  it('the queue never answers a request from a batch that started before the request arrived', async () => {
    const work = controlled()
    const first = work.submit(1, newCall())
    await turnOfEventLoop()
    const later = [work.submit(2, newCall()), work.submit(3, newCall())]
    await turnOfEventLoop()
    expect(batchesOf(work)).toEqual([[1]])
    work.batches[0]?.end()
    await first
    await turnOfEventLoop()
    expect(batchesOf(work)).toEqual([[1], [2, 3]])
    work.batches[1]?.end()
    expect(await Promise.all(later)).toEqual([2, 3])
  })

  it('the queue runs at most maxConcurrent batches at once', async () => {
    const work = controlled({ maxConcurrent: 2 })
    const submitted: Promise<number>[] = []
    for (const request of [1, 2, 3]) {
      submitted.push(work.submit(request, newCall()))
      await turnOfEventLoop()
    }
    expect(batchesOf(work)).toEqual([[1], [2]])
    work.batches[1]?.end()
    await submitted[1]
    await turnOfEventLoop()
    expect(batchesOf(work)).toEqual([[1], [2], [3]])
    for (const { end } of work.batches) end()
    expect(await Promise.all(submitted)).toEqual([1, 2, 3])
  })

  it('the queue fills batches in the order of arrival up to the maximum weight, and executes a heavier request by itself', async () => {
    const work = controlled({ maxBatchWeight: 10, weightOf: ((request: number) => request) as never })
    const submitted = [4, 6, 1, 50, 2].map((request) => work.submit(request, newCall()))
    for (let turn = 0; turn < 4; turn++) {
      await turnOfEventLoop()
      work.batches[turn]?.end()
      await turnOfEventLoop()
    }
    expect(await Promise.all(submitted)).toEqual([4, 6, 1, 50, 2])
    expect(batchesOf(work)).toEqual([[4, 6], [1], [50], [2]])
  })

  it('the queue rejects a request at once as overloaded when maxWaiting requests wait', async () => {
    const work = controlled({ maxWaiting: 2 })
    const first = work.submit(0, newCall())
    await turnOfEventLoop()
    const waiting = [work.submit(1, newCall()), work.submit(2, newCall())]
    await expect(work.submit(3, newCall())).rejects.toMatchObject({ code: 'overloaded' })
    work.batches[0]?.end()
    await first
    await turnOfEventLoop()
    work.batches[1]?.end()
    expect(await Promise.all(waiting)).toEqual([1, 2])
  })
})

describe('a deadline', () => {
  it('the queue removes a request whose deadline passes, without executing it', async () => {
    const work = controlled()
    const first = work.submit(1, newCall())
    await turnOfEventLoop()
    const late = work.submit(2, newCall(20))
    const other = work.submit(3, newCall())
    await expect(late).rejects.toMatchObject({ code: 'dependency_unavailable' })
    work.batches[0]?.end()
    await first
    await turnOfEventLoop()
    expect(batchesOf(work)).toEqual([[1], [3]])
    work.batches[1]?.end()
    expect(await other).toBe(3)
  })

  it('the queue rejects only the request whose deadline passes while its batch runs', async () => {
    const work = controlled()
    const late = work.submit(1, newCall(20))
    const other = work.submit(2, newCall())
    await expect(late).rejects.toMatchObject({ code: 'dependency_unavailable' })
    work.batches[0]?.end()
    expect(await other).toBe(2)
  })

  it('a batch has the latest deadline of its requests', async () => {
    const work = controlled()
    const calls = [newCall(1_000), newCall(5_000), newCall(3_000)]
    const submitted = calls.map((call, at) => work.submit(at, call))
    await turnOfEventLoop()
    expect(work.batches[0]?.call).toBe(calls[1])
    work.batches[0]?.end()
    await Promise.all(submitted)
  })
})

describe('an error', () => {
  it('a request whose outcome is an error is rejected alone', async () => {
    const work = controlled()
    const submitted = [1, 2, 3].map((request) => work.submit(request, newCall()))
    await turnOfEventLoop()
    const refusal = new DomainError('product_not_found', 'there is none')
    work.batches[0]?.end([1, refusal, 3])
    expect(await Promise.allSettled(submitted)).toEqual([
      { status: 'fulfilled', value: 1 },
      { status: 'rejected', reason: refusal },
      { status: 'fulfilled', value: 3 },
    ])
  })

  it('a batch that fails rejects all its requests, and none of the next batch', async () => {
    const work = controlled()
    const submitted = [1, 2].map((request) => work.submit(request, newCall()))
    await turnOfEventLoop()
    const next = work.submit(3, newCall())
    const failure = new Error('the connection is lost')
    work.batches[0]?.fail(failure)
    expect(await Promise.allSettled(submitted)).toEqual([
      { status: 'rejected', reason: failure },
      { status: 'rejected', reason: failure },
    ])
    await turnOfEventLoop()
    work.batches[1]?.end()
    expect(await next).toBe(3)
  })
})
