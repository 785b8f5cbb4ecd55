import { describe, expect, it } from 'vitest'
import { batched, coalesceReads, type QueuedRequest, splitOnFailure } from './batching.ts'
import { type Call, waitUntilDeadline } from './call.ts'
import { DomainError, dependencyUnavailable } from './errors.ts'

const inTime = (milliseconds = 10_000): Call => ({
  deadline: Date.now() + milliseconds,
  requestId: 'request-1',
})
const round = () => new Promise((resolve) => setImmediate(resolve))

/** What is carried out ends when a test says so. */
function controlled(options: Partial<Parameters<typeof batched>[0]> = {}) {
  const batches: {
    requests: number[]
    call: Call
    end(outcomes?: (number | Error)[]): void
    fail(error: Error): void
  }[] = []
  const ask = batched<number, number>(
    { name: 'the work', maxConcurrent: 1, maxWaiting: 100, maxBatchWeight: 100, ...(options as object) },
    (batch: readonly QueuedRequest<number>[], call) =>
      new Promise((resolve, reject) => {
        const requests = batch.map(({ request }) => request)
        batches.push({ requests, call, end: (outcomes = requests) => resolve(outcomes), fail: reject })
      }),
  )
  return { ask, batches }
}

const batchesOf = ({ batches }: ReturnType<typeof controlled>) => batches.map(({ requests }) => requests)

describe('what is carried out together, or alone where that seems to hang', () => {
  const answersAfter = (milliseconds: number) => {
    const sizes: number[] = []
    const carryOut = splitOnFailure<number, number>(async (batch, call) => {
      sizes.push(batch.length)
      const answered = new Promise<void>((resolve) => setTimeout(resolve, milliseconds))
      await waitUntilDeadline(call, 'the work', answered)
      return batch.map(({ request }) => request)
    })
    const ask = async (requests: readonly number[]) => {
      const call = inTime()
      const outcomes = await carryOut(
        requests.map((request) => ({ request, call })),
        call,
      )
      return Promise.all(outcomes)
    }
    return { ask, sizes }
  }

  it('is together again once all of it has turned out to be slow', async () => {
    const { ask, sizes } = answersAfter(450)
    const requests = Array.from({ length: 20 }, (_, at) => at)
    expect(await ask(requests)).toEqual(requests)
    expect(sizes).toEqual([20, ...Array(20).fill(1)])
    expect(await ask(requests)).toEqual(requests)
    expect(sizes.slice(21)).toEqual([20])
  })

  it('fails together where the database is not available', async () => {
    let attempts = 0
    const carryOut = splitOnFailure<number, number>(async () => {
      attempts += 1
      throw dependencyUnavailable('the database is not available')
    })
    const call = inTime()
    const batch = [1, 2].map((request) => ({ request, call }))
    await expect(carryOut(batch, call)).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(attempts).toBe(1)
  })
})

it('a batch that has made room for the next one still counts as waiting', async () => {
  const work = controlled({ maxWaiting: 2, slotTimeoutMs: 20 })
  const late = [work.ask(1, inTime()), work.ask(2, inTime())]
  await expect.poll(() => work.batches.length).toBe(1)
  // The first batch makes room, and the next one begins beside it.
  await expect
    .poll(() =>
      work.ask(3, inTime()).then(
        () => 'answered',
        (error: DomainError) => error.code,
      ),
    )
    .toBe('overloaded')
  work.batches[0]?.end()
  expect(await Promise.all(late)).toEqual([1, 2])
})

it('requests that nobody can weigh are refused, and keep no other from its turn', async () => {
  const work = controlled({
    weightOf: (request) => {
      if (request === 2) throw new Error('no weight')
      return 1
    },
  } as Partial<Parameters<typeof batched>[0]>)
  const asked = [1, 2, 3].map((request) => work.ask(request, inTime()))
  await expect(asked[1]).rejects.toThrow('no weight')
  await round()
  expect(batchesOf(work)).toEqual([[1, 3]])
  work.batches[0]?.end()
  expect(await Promise.all([asked[0], asked[2]])).toEqual([1, 3])
})

it('a rest is kept between two batches, and what came by its end makes up the next one', async () => {
  let rest = 30
  const work = controlled({ pauseMs: () => rest })
  const first = work.ask(1, inTime())
  await round()
  const later = [work.ask(2, inTime())]
  const ended = performance.now()
  work.batches[0]?.end()
  await first
  await round()
  later.push(work.ask(3, inTime()))
  rest = 0
  await expect.poll(() => batchesOf(work)).toEqual([[1], [2, 3]])
  expect(performance.now() - ended).toBeGreaterThan(28)
  work.batches[1]?.end()
  await Promise.all(later)
  const next = work.ask(4, inTime())
  await round()
  expect(batchesOf(work).at(-1)).toEqual([4])
  work.batches[2]?.end()
  await next
})

describe('requests that wait', () => {
  it('begin within a round of the event loop, and all that came in it together', async () => {
    const work = controlled()
    const asked = [1, 2, 3].map((request) => work.ask(request, inTime()))
    await round()
    expect(batchesOf(work)).toEqual([[1, 2, 3]])
    work.batches[0]?.end()
    expect(await Promise.all(asked)).toEqual([1, 2, 3])
  })

  it('begin after they came: never are they answered by what was under way', async () => {
    const work = controlled()
    const first = work.ask(1, inTime())
    await round()
    const later = [work.ask(2, inTime()), work.ask(3, inTime())]
    await round()
    expect(batchesOf(work)).toEqual([[1]])
    work.batches[0]?.end()
    await first
    await round()
    expect(batchesOf(work)).toEqual([[1], [2, 3]])
    work.batches[1]?.end()
    expect(await Promise.all(later)).toEqual([2, 3])
  })

  it('are in as many batches at a time as may be, and no more', async () => {
    const work = controlled({ maxConcurrent: 2 })
    const asked: Promise<number>[] = []
    for (const request of [1, 2, 3]) {
      asked.push(work.ask(request, inTime()))
      await round()
    }
    expect(batchesOf(work)).toEqual([[1], [2]])
    work.batches[1]?.end()
    await asked[1]
    await round()
    expect(batchesOf(work)).toEqual([[1], [2], [3]])
    for (const { end } of work.batches) end()
    expect(await Promise.all(asked)).toEqual([1, 2, 3])
  })

  it('come in the order in which they were asked for, as many as a batch takes on', async () => {
    const work = controlled({ maxBatchWeight: 10, weightOf: ((request: number) => request) as never })
    const asked = [4, 6, 1, 50, 2].map((request) => work.ask(request, inTime()))
    for (let turn = 0; turn < 4; turn++) {
      await round()
      work.batches[turn]?.end()
      await round()
    }
    expect(await Promise.all(asked)).toEqual([4, 6, 1, 50, 2])
    // What is more than a batch takes on goes alone.
    expect(batchesOf(work)).toEqual([[4, 6], [1], [50], [2]])
  })

  it('are no more than the bound: one more is overloaded at once', async () => {
    const work = controlled({ maxWaiting: 2 })
    const first = work.ask(0, inTime())
    await round()
    const waiting = [work.ask(1, inTime()), work.ask(2, inTime())]
    await expect(work.ask(3, inTime())).rejects.toMatchObject({ code: 'overloaded' })
    work.batches[0]?.end()
    await first
    await round()
    work.batches[1]?.end()
    expect(await Promise.all(waiting)).toEqual([1, 2])
  })
})

describe('a deadline', () => {
  it('ends the wait of its own request, which is not carried out then', async () => {
    const work = controlled()
    const first = work.ask(1, inTime())
    await round()
    const late = work.ask(2, inTime(20))
    const other = work.ask(3, inTime())
    await expect(late).rejects.toMatchObject({ code: 'dependency_unavailable' })
    work.batches[0]?.end()
    await first
    await round()
    expect(batchesOf(work)).toEqual([[1], [3]])
    work.batches[1]?.end()
    expect(await other).toBe(3)
  })

  it('that passes while a batch is under way ends its own request, and no other', async () => {
    const work = controlled()
    const late = work.ask(1, inTime(20))
    const other = work.ask(2, inTime())
    await expect(late).rejects.toMatchObject({ code: 'dependency_unavailable' })
    work.batches[0]?.end()
    expect(await other).toBe(2)
  })

  it('of a batch is that of the one who waits longest', async () => {
    const work = controlled()
    const calls = [inTime(1_000), inTime(5_000), inTime(3_000)]
    const asked = calls.map((call, at) => work.ask(at, call))
    await round()
    expect(work.batches[0]?.call).toBe(calls[1])
    work.batches[0]?.end()
    await Promise.all(asked)
  })
})

describe('an error', () => {
  it('of one of the batch is its own', async () => {
    const work = controlled()
    const asked = [1, 2, 3].map((request) => work.ask(request, inTime()))
    await round()
    const refusal = new DomainError('product_not_found', 'there is none')
    work.batches[0]?.end([1, refusal, 3])
    expect(await Promise.allSettled(asked)).toEqual([
      { status: 'fulfilled', value: 1 },
      { status: 'rejected', reason: refusal },
      { status: 'fulfilled', value: 3 },
    ])
  })

  it('of the batch itself goes to all of them, and to none of the next', async () => {
    const work = controlled()
    const asked = [1, 2].map((request) => work.ask(request, inTime()))
    await round()
    const next = work.ask(3, inTime())
    const failure = new Error('the connection is lost')
    work.batches[0]?.fail(failure)
    expect(await Promise.allSettled(asked)).toEqual([
      { status: 'rejected', reason: failure },
      { status: 'rejected', reason: failure },
    ])
    await round()
    work.batches[1]?.end()
    expect(await next).toBe(3)
  })
})

describe('equal reads', () => {
  it('share one that begins after each of them came; others are apart from them', async () => {
    const reads: { key: string; end(): void }[] = []
    const ask = coalesceReads<string, string>(
      { name: 'the list', maxWaiting: 10, keyOf: (key) => key },
      (key) =>
        new Promise((resolve) => {
          reads.push({ key, end: () => resolve(`${key}, read no. ${reads.length}`) })
        }),
    )
    const asked = ['a', 'a', 'b'].map((key) => ask(key, inTime()))
    await round()
    expect(reads.map(({ key }) => key)).toEqual(['a', 'b'])
    const later = ask('a', inTime())
    await round()
    expect(reads.map(({ key }) => key)).toEqual(['a', 'b', 'a'])
    // One that hangs keeps up nobody but those who asked for the same.
    reads[2]?.end()
    expect(await later).toBe('a, read no. 3')
    for (const { end } of reads) end()
    const [first, second] = await Promise.all(asked)
    expect(first).toBe(second)
  })
})
