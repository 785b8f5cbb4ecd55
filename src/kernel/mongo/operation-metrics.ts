import { isDomainError } from '#kernel/errors.ts'
import type { Histogram, Metrics } from '#kernel/metrics.ts'

const duration = {
  name: 'trivet_mongodb_operation_duration_seconds',
  help: 'Time of an operation on MongoDB with its wait for a connection; a transaction counts with all its attempts',
  buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2],
}

/** Runs an operation, and records its duration. The operation is named by its collection and its verb, as in `products.find`. */
export type TimeOperation = <T>(operation: string, work: () => Promise<T>) => Promise<T>

/** An operation fails if MongoDB is not available. A refusal by MongoDB, such as a duplicate key, is a success. */
export function createOperationTimer(metrics: Metrics): TimeOperation {
  const create = (outcome: string) => {
    const histograms = new Map<string, Histogram>()
    return (operation: string, startedAtMs: number) => {
      let histogram = histograms.get(operation)
      if (!histogram) {
        histogram = metrics.histogram(duration, { operation, outcome })
        histograms.set(operation, histogram)
      }
      histogram.observe((performance.now() - startedAtMs) / 1_000)
    }
  }
  const succeeded = create('success')
  const failed = create('failure')

  return async (operation, work) => {
    const startedAtMs = performance.now()
    try {
      const result = await work()
      succeeded(operation, startedAtMs)
      return result
    } catch (error) {
      if (isDomainError(error, 'dependency_unavailable')) failed(operation, startedAtMs)
      else succeeded(operation, startedAtMs)
      throw error
    }
  }
}
