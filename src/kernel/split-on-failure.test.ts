import { expect, it } from 'vitest'
import { createCall, waitUntilDeadline } from './call.ts'
import { dependencyUnavailable } from './errors.ts'
import { splitOnFailure } from './split-on-failure.ts'

/** Work whose batches all take the same time. Records the sizes of the executed batches. */
function workThatTakes(durationMs: number) {
  const sizes: number[] = []
  const execute = splitOnFailure<number, number>(async (batch, call) => {
    sizes.push(batch.length)
    const answered = new Promise<void>((resolve) => setTimeout(resolve, durationMs))
    await waitUntilDeadline(call, 'the work', answered)
    return batch.map(({ request }) => request)
  })
  const submit = async (requests: readonly number[]) => {
    const call = createCall(10_000, 'request-1')
    const outcomes = await execute(
      requests.map((request) => ({ request, call })),
      call,
    )
    return Promise.all(outcomes)
  }
  return { submit, sizes }
}

it('each request is executed by itself after a timeout of its batch, and the timeout grows if all work is slow', async () => {
  const { submit, sizes } = workThatTakes(450)
  const requests = Array.from({ length: 20 }, (_, at) => at)
  expect(await submit(requests)).toEqual(requests)
  expect(sizes).toEqual([20, ...Array(20).fill(1)])
  expect(await submit(requests)).toEqual(requests)
  expect(sizes.slice(21)).toEqual([20])
})

it('all requests of a batch fail without repetition if the database is not available', async () => {
  let attempts = 0
  const execute = splitOnFailure<number, number>(async () => {
    attempts += 1
    throw dependencyUnavailable('the database is not available')
  })
  const call = createCall(10_000, 'request-1')
  const batch = [1, 2].map((request) => ({ request, call }))
  await expect(execute(batch, call)).rejects.toMatchObject({ code: 'dependency_unavailable' })
  expect(attempts).toBe(1)
})
