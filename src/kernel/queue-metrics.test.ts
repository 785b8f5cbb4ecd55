import { expect, it, vi } from 'vitest'
import { createGate } from '#test/support/gate.ts'
import { seriesOf } from '#test/support/metrics.ts'
import { batched } from './batching.ts'
import { createCall } from './call.ts'
import { createMetrics } from './metrics.ts'
import { createQueue } from './queue.ts'
import { batchMetrics, queueMetrics } from './queue-metrics.ts'

const newCall = (timeoutMs = 10_000) => createCall(timeoutMs, 'test')

/** The metrics of one queue, without the buckets. */
async function figuresOf(metrics: ReturnType<typeof createMetrics>) {
  const series = seriesOf((await metrics.scrape()).text)
  const figure = (name: string) => series.get(`trivet_queue_${name}{queue="work"}`)
  return {
    waiting: figure('waiting_requests'),
    waited: figure('wait_seconds_count'),
    waitedSeconds: figure('wait_seconds_sum') ?? 0,
    refused: figure('refused_requests_total'),
    batches: figure('batch_size_requests_count'),
    inBatches: figure('batch_size_requests_sum'),
  }
}

it('a queue of batches reports the requests that wait, how long they waited, and the sizes of its batches', async () => {
  const metrics = createMetrics()
  const gate = createGate()
  const submit = batched<number, number>(
    {
      name: 'work',
      maxConcurrent: 1,
      maxWaiting: 4,
      maxBatchWeight: 10,
      slotTimeoutMs: Number.POSITIVE_INFINITY,
      metrics: batchMetrics(metrics, 'work'),
    },
    async (batch) => {
      await gate.pass()
      return batch.map(({ request }) => request)
    },
  )
  const first = [1, 2].map((request) => submit(request, newCall()))
  await vi.waitFor(async () => expect(await figuresOf(metrics)).toMatchObject({ waiting: 0, inBatches: 2 }))
  const next = [3, 4, 5].map((request) => submit(request, newCall()))
  const late = submit(6, newCall(1_000))
  await expect(submit(7, newCall())).rejects.toMatchObject({ code: 'overloaded' })
  expect(await figuresOf(metrics)).toMatchObject({ waiting: 4, waited: 2, refused: 1, batches: 1 })
  await expect(late).rejects.toMatchObject({ code: 'dependency_unavailable' })
  expect(await figuresOf(metrics)).toMatchObject({ waiting: 3, waited: 3 })
  gate.open()
  expect(await Promise.all([...first, ...next])).toEqual([1, 2, 3, 4, 5])
  const end = await figuresOf(metrics)
  expect(end).toMatchObject({ waiting: 0, waited: 6, refused: 1, batches: 2, inBatches: 5 })
  // The three requests of the second batch waited at least as long as the late one.
  expect(end.waitedSeconds).toBeGreaterThan(3.9)
})

it('a queue reports the tasks that wait, how long they waited, and those that it refused', async () => {
  const metrics = createMetrics()
  const gate = createGate()
  const inQueue = createQueue({
    name: 'work',
    maxConcurrent: 1,
    maxWaiting: 1,
    metrics: queueMetrics(metrics, 'work'),
  })
  const running = inQueue(newCall(), () => gate.pass())
  await vi.waitFor(async () => expect(await figuresOf(metrics)).toMatchObject({ waiting: 0, waited: 1 }))
  const waiting = inQueue(newCall(), async () => 'done')
  await expect(inQueue(newCall(), async () => 'done')).rejects.toMatchObject({ code: 'overloaded' })
  expect(await figuresOf(metrics)).toMatchObject({ waiting: 1, waited: 1, refused: 1 })
  gate.open()
  await running
  expect(await waiting).toBe('done')
  expect(await figuresOf(metrics)).toMatchObject({ waiting: 0, waited: 2 })
})
