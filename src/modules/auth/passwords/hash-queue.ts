import { availableParallelism } from 'node:os'
import type { Metrics } from '#kernel/metrics.ts'
import { createQueue, type Queue } from '#kernel/queue.ts'
import { queueMetrics } from '#kernel/queue-metrics.ts'

/**
 * Creates the queue of password hashes. At most min(cores, UV_THREADPOOL_SIZE) − 1 hashes run at once: one core stays free
 * for requests, and one thread for WebCrypto, DNS and files.
 * @param threads the number of threads in Node.js's pool
 */
export function createHashQueue(threads: number, metrics: Metrics): Queue {
  const maxConcurrent = Math.max(1, Math.min(availableParallelism(), threads) - 1)
  return createQueue({
    name: 'the password check',
    maxConcurrent,
    maxWaiting: maxConcurrent * 64,
    isUniform: true,
    metrics: queueMetrics(metrics, 'passwords'),
  })
}
