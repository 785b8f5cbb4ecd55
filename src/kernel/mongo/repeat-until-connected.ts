import { setTimeout as sleep } from 'node:timers/promises'
import type mongoose from 'mongoose'
import { ConfigError } from '#kernel/config/config-error.ts'
import { dependencyUnavailable, isDomainError, messageOf } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import { unauthorizedFault } from './boot-checks.ts'
import type { Deployment } from './deployment.ts'
import type { ConnectionFault } from './deployment-faults.ts'
import { isUnavailable } from './errors.ts'

const firstRetryMs = 100
const maxRetryMs = 5_000

/**
 * Decides whether to repeat a failed attempt to connect, or a failed `work`.
 * @returns the reason to repeat it
 * @throws ConfigError if waiting does not repair the fault; the error itself if it does not come from MongoDB's state
 */
export function retryableFault(
  error: unknown,
  context: { isConnected: boolean; connection: mongoose.Connection; deployment: Deployment },
): ConnectionFault {
  if (error instanceof ConfigError) throw error
  const unauthorized = unauthorizedFault(error, context.connection)
  if (unauthorized) throw unauthorized
  const fault = context.deployment.fault(error) ?? {
    kind: 'temporary',
    message: messageOf(error),
  }
  if (fault.kind === 'permanent') throw new ConfigError([fault.message])
  const isTransient = isUnavailable(error) || isDomainError(error, 'dependency_unavailable')
  if (context.isConnected && !isTransient) throw error
  return fault
}

/**
 * Repeats `attempt` with exponential backoff until it succeeds.
 * @param classify returns the reason to repeat a failed attempt, or throws
 * @throws DomainError `dependency_unavailable` if the signal aborts during a temporary fault
 * @throws ConfigError if a setup fault lasts longer than `setupTimeoutMs`, or if the signal aborts during it
 */
export async function repeatUntilConnected<T>(
  attempt: () => Promise<T>,
  classify: (error: unknown) => ConnectionFault,
  options: { signal: AbortSignal; setupTimeoutMs: number; logger: Logger },
): Promise<T> {
  const { signal, setupTimeoutMs, logger } = options
  let setupEndsAt = Number.POSITIVE_INFINITY
  for (let retryInMs = firstRetryMs; ; retryInMs = Math.min(retryInMs * 2, maxRetryMs)) {
    try {
      return await attempt()
    } catch (error) {
      const { kind, message } = classify(error)
      if (kind === 'temporary') setupEndsAt = Number.POSITIVE_INFINITY
      else setupEndsAt = Math.min(setupEndsAt, performance.now() + setupTimeoutMs)
      const giveUp = () =>
        kind === 'temporary'
          ? dependencyUnavailable(`MongoDB is not available: ${message}`, error)
          : new ConfigError([message])
      if (signal.aborted || performance.now() >= setupEndsAt) throw giveUp()
      logger.warn({ reason: message, retryInMs }, 'waiting for MongoDB')
      await sleep(retryInMs, undefined, { signal }).catch(() => {
        throw giveUp()
      })
    }
  }
}
