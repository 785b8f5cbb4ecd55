import { dependencyUnavailable } from './errors.ts'

/**
 * Repeats an attempt to read, decide, and write by compare-and-set, until no other request makes a change between the read
 * and the write.
 * @param subject the noun for what is changed, for the error's message
 * @param attempt returns undefined if its compare-and-set was lost
 * @throws DomainError `dependency_unavailable` after `maxAttempts` attempts
 */
export async function retryCompareAndSet<T>(
  { subject, maxAttempts }: { subject: string; maxAttempts: number },
  attempt: () => Promise<T | undefined>,
): Promise<T> {
  for (let attempts = 0; attempts < maxAttempts; attempts++) {
    const result = await attempt()
    if (result !== undefined) return result
  }
  throw dependencyUnavailable(`the ${subject} changes too often just now; try again`)
}
