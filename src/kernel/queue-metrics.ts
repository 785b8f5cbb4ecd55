import type { Metrics } from './metrics.ts'

const waiting = { name: 'trivet_queue_waiting_requests', help: 'Requests that wait in a queue' }
const wait = {
  name: 'trivet_queue_wait_seconds',
  help: 'Time that a request waited in a queue until its work began, or until its deadline',
  buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2],
}
const refused = {
  name: 'trivet_queue_refused_requests_total',
  help: 'Requests that were refused because too many were waiting',
}
const batchSize = {
  name: 'trivet_queue_batch_size_requests',
  help: 'Requests that one batch carried out together',
  buckets: [1, 2, 5, 10, 20, 50, 100, 200],
}

/** What a queue reports about itself. Several short-lived queues may share one. */
export interface QueueMetrics {
  entered(): void
  left(waitedMs: number): void
  refused(): void
}

/** Creates the metrics of a queue. `queue` is its label. */
export function queueMetrics(metrics: Metrics, queue: string): QueueMetrics {
  const labels = { queue }
  const waited = metrics.histogram(wait, labels)
  const refusals = metrics.counter(refused, labels)
  let length = 0
  metrics.gauge(waiting, () => length, labels)
  return {
    entered() {
      length += 1
    },
    left(waitedMs) {
      length -= 1
      waited.observe(waitedMs / 1_000)
    },
    refused: () => refusals.add(),
  }
}

/** The metrics of a queue whose requests are carried out in batches. */
export interface BatchMetrics extends QueueMetrics {
  batch(size: number): void
}

export function batchMetrics(metrics: Metrics, queue: string): BatchMetrics {
  const sizes = metrics.histogram(batchSize, { queue })
  return { ...queueMetrics(metrics, queue), batch: (size) => sizes.observe(size) }
}
