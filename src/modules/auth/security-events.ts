import { isDomainError } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { Role } from '#kernel/principal.ts'

/**
 * The fields of the log lines. None contains text that a user typed, because an unknown name may be a password that was typed into
 * the wrong field.
 */
interface EventFields {
  requestId: string
  address?: string
  /** Missing if the account does not exist. */
  userId?: string | undefined
  role?: Role
  action?: 'login' | 'registration' | 'password_change'
  /** Missing if the user of the account caused the event. */
  by?: 'operator'
}

const counted = {
  name: 'trivet_security_events_total',
  help: 'Security events, such as sign-ins, failed sign-ins and refused attempts',
}

interface Description {
  level: 'info' | 'warn'
  message: string
  /** Each event also has `requestId`. */
  fields: readonly (keyof EventFields)[]
}

/**
 * The audit trail. Each event is one log line with `event` = `auth.<name>`. Names and fields are stable, and
 * docs/security-events.md describes them. Suspicious events are warnings.
 */
export const securityEvents = {
  registered: { level: 'info', message: 'account created', fields: ['userId', 'address', 'role', 'by'] },
  signed_in: { level: 'info', message: 'signed in', fields: ['userId', 'address'] },
  sign_in_failed: { level: 'warn', message: 'sign-in failed', fields: ['address', 'action', 'userId'] },
  throttled: {
    level: 'warn',
    message: 'attempt refused: too many attempts',
    fields: ['address', 'action', 'userId'],
  },
  signed_out: { level: 'info', message: 'signed out', fields: ['userId', 'address', 'by'] },
  refresh_reused: {
    level: 'warn',
    message: 'refresh token reused: its family has ended',
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

const actions = ['login', 'registration', 'password_change'] as const

/** Creates the function that logs and counts the events. */
export function securityLog(logger: Logger, metrics: Metrics): RecordEvent {
  const counters = new Map(
    (Object.keys(securityEvents) as SecurityEvent[]).flatMap((event) => {
      const { fields }: Description = securityEvents[event]
      const kinds = fields.includes('action') ? actions : [undefined]
      return kinds.map(
        (action) =>
          [keyOf(event, action), metrics.counter(counted, { event, ...(action && { action }) })] as const,
      )
    }),
  )
  return (event, fields: EventFields) => {
    const { level, message } = securityEvents[event]
    logger[level]({ event: `auth.${event}`, ...fields }, message)
    counters.get(keyOf(event, fields.action))?.add()
  }
}

const keyOf = (event: SecurityEvent, action: EventFields['action']) => `${event} ${action ?? ''}`

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
