import type { Logger } from '../../kernel/logger.ts'
import type { Role } from '../../kernel/principal.ts'

/**
 * The audit trail: one log line for each, with `event` = `auth.<name>`. Names are stable; SECURITY.md describes them.
 * What is suspicious is a warning, and everything is there from LOG_LEVEL=info on.
 */
export const securityEvents = {
  registered: { level: 'info', message: 'account opened' },
  signed_in: { level: 'info', message: 'signed in' },
  sign_in_failed: { level: 'warn', message: 'sign-in failed' },
  throttled: { level: 'warn', message: 'too many attempts' },
  signed_out: { level: 'info', message: 'signed out' },
  refresh_reused: { level: 'warn', message: 'a spent refresh token was shown: its family has ended' },
  password_changed: { level: 'info', message: 'password changed' },
  role_changed: { level: 'warn', message: 'role changed' },
} as const satisfies Record<string, { level: 'info' | 'warn'; message: string }>

export type SecurityEvent = keyof typeof securityEvents

/** What a line may say. Nothing that a person typed: names of unknown accounts are passwords in the wrong field. */
export interface EventFields {
  requestId: string
  address?: string
  /** Of an account that exists. */
  userId?: string | undefined
  role?: Role
  /** What was attempted: of `sign_in_failed` and `throttled`. */
  action?: 'login' | 'registration' | 'password_change'
  /** Whose doing a change was, if not the account's own. */
  by?: 'operator'
}

export type RecordEvent = (event: SecurityEvent, fields: EventFields) => void

export const securityLog =
  (logger: Logger): RecordEvent =>
  (event, fields) => {
    const { level, message } = securityEvents[event]
    logger[level]({ event: `auth.${event}`, ...fields }, message)
  }
