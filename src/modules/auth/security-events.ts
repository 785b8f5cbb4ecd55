import { isDomainError } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Role } from '#kernel/principal.ts'

/** What a line may say. Nothing that a person typed: names of unknown accounts are passwords in the wrong field. */
interface EventFields {
  requestId: string
  address?: string
  /** Of an account that exists. */
  userId?: string | undefined
  role?: Role
  /** What was attempted. */
  action?: 'login' | 'registration' | 'password_change'
  /** Whose doing it was, if not the account's own. */
  by?: 'operator'
}

interface Description {
  level: 'info' | 'warn'
  message: string
  /** Beside `requestId`. */
  fields: readonly (keyof EventFields)[]
}

/**
 * The audit trail: one log line for each, with `event` = `auth.<name>`. Names and fields are stable, and described in
 * docs/security-events.md. What is suspicious is a warning, and everything is there from LOG_LEVEL=info on.
 */
export const securityEvents = {
  registered: { level: 'info', message: 'account opened', fields: ['userId', 'address', 'role', 'by'] },
  signed_in: { level: 'info', message: 'signed in', fields: ['userId', 'address'] },
  sign_in_failed: { level: 'warn', message: 'sign-in failed', fields: ['address', 'action', 'userId'] },
  throttled: { level: 'warn', message: 'too many attempts', fields: ['address', 'action', 'userId'] },
  signed_out: { level: 'info', message: 'signed out', fields: ['userId', 'address', 'by'] },
  refresh_reused: {
    level: 'warn',
    message: 'a spent refresh token was shown: its family has ended',
    fields: ['userId', 'address'],
  },
  password_changed: { level: 'info', message: 'password changed', fields: ['userId', 'address', 'by'] },
  role_changed: { level: 'warn', message: 'role changed', fields: ['userId', 'role', 'by'] },
} as const satisfies Record<string, Description>

export type SecurityEvent = keyof typeof securityEvents

export type FieldsOf<Event extends SecurityEvent> = Pick<
  EventFields,
  'requestId' | (typeof securityEvents)[Event]['fields'][number]
>

export type RecordEvent = <Event extends SecurityEvent>(event: Event, fields: FieldsOf<Event>) => void

export const securityLog =
  (logger: Logger): RecordEvent =>
  (event, fields: EventFields) => {
    const { level, message } = securityEvents[event]
    logger[level]({ event: `auth.${event}`, ...fields }, message)
  }

/** Does the work, and records the event `throttled` if the work is refused as `rate_limited`. */
export async function recordThrottled<T>(
  record: RecordEvent,
  fields: FieldsOf<'throttled'>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (isDomainError(error, 'rate_limited')) record('throttled', fields)
    throw error
  }
}
