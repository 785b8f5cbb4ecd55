import { createHash } from 'node:crypto'
import type { Rate } from '#kernel/config/values.ts'
import type { Database } from '#kernel/mongo/database.ts'
import { createCounterRepository } from './counter.repository.ts'
import type { Limit } from './throttle.ts'

/** The limits on guessing passwords and on registering. */
export interface Limits {
  failuresPerAccount: Limit
  failuresPerAddress: Limit
  /** Limits the failures for one account from one network from which its owner has signed in before. */
  failuresPerKnownClient: Limit
  registrationsPerAddress: Limit
  /** Limits the registrations that were refused because the name is taken. */
  registrationsPerName: Limit
}

/** Creates the limits, whose counters all replicas share. */
export function createLimits(
  database: Database,
  rates: { failuresPerAccount: Rate; failuresPerAddress: Rate; registrationsPerAddress: Rate },
): Limits {
  // These names are part of the stored keys, so that renaming one would reset its counters.
  const limit = (name: string, events: string, rate: Rate): Limit => ({
    rate,
    events,
    attempts: createCounterRepository(database, name, rate),
    lockouts: createCounterRepository(database, `${name}-strikes`, rate),
  })
  const { failuresPerAccount, failuresPerAddress, registrationsPerAddress } = rates
  const accountFailures = 'failed attempts for this account'
  return {
    failuresPerAccount: limit('login-account', accountFailures, failuresPerAccount),
    failuresPerAddress: limit('login-address', 'failed attempts from this address', failuresPerAddress),
    failuresPerKnownClient: limit('login-client', accountFailures, failuresPerAccount),
    registrationsPerAddress: limit(
      'register-address',
      'registrations from this address',
      registrationsPerAddress,
    ),
    registrationsPerName: limit('register-name', 'registrations of this name', registrationsPerAddress),
  }
}

/**
 * The key under which attempts for a name are counted if no account has the name. E-mail addresses and usernames have
 * different keys, and no key equals an account's id. The key is a hash because counters are stored, and the name may be a
 * password that was typed into the wrong field.
 */
export const keyOfName = (kind: 'email' | 'username', name: string): string =>
  createHash('sha256').update(`${kind} ${name.toLowerCase()}`).digest('base64url')

/**
 * The value of the header field `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): each limit with its quota and its
 * window in seconds. It lists all limits of a request, whichever was reached, so that it does not tell whether an account exists.
 * No answer has the field `RateLimit`, because the remaining number would tell that.
 */
export const rateLimitPolicy = (limits: Readonly<Record<string, Limit>>): string =>
  Object.entries(limits)
    .map(([name, { rate }]) => `"${name}";q=${rate.max};w=${Math.ceil(rate.withinMs / 1_000)}`)
    .join(', ')
