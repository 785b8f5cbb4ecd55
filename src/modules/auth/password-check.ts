import type { Call } from '#kernel/call.ts'
import type { Client } from '#kernel/http/client-address.ts'
import type { Passwords } from './passwords/hashing.ts'
import { type RecordEvent, recordThrottled } from './security-events.ts'
import type { KnownClientRepository } from './throttling/known-client.repository.ts'
import type { Limits } from './throttling/limits.ts'
import { type Counter, countFailures, refuseThrottled } from './throttling/throttle.ts'
import type { User } from './user.ts'

export interface PasswordAttempt {
  /** The id of the account or, if it does not exist, the key of the name (`keyOfName`). */
  account: string
  /** Undefined if the account does not exist. */
  user: User | undefined
  password: string
  action: 'login' | 'password_change'
}

/**
 * Whether a password is the account's.
 * @throws DomainError `rate_limited` after too many failures; `overloaded` and `dependency_unavailable` as `Passwords.verify`
 */
export type CheckPassword = (attempt: PasswordAttempt, client: Client, call: Call) => Promise<boolean>

/**
 * Checks passwords within the limits on failures. Failures from a network from which the owner has signed in before are
 * counted separately, so that attackers elsewhere cannot lock the owner out.
 */
export function createPasswordCheck(options: {
  passwords: Passwords
  knownClients: KnownClientRepository
  limits: Limits
  record: RecordEvent
}): CheckPassword {
  const { passwords, knownClients, limits, record } = options

  const countersOf = async (account: string, network: string, call: Call): Promise<Counter[]> =>
    (await knownClients.isKnown(account, network, call))
      ? [{ limit: limits.failuresPerKnownClient, key: `${account} ${network}` }]
      : [
          { limit: limits.failuresPerAccount, key: account },
          { limit: limits.failuresPerAddress, key: network },
        ]

  return ({ account, user, password, action }, { address, network }, call) => {
    const fields = { requestId: call.requestId, address, userId: user?.userId, action }
    return recordThrottled(record, fields, async () => {
      const counters = await countersOf(account, network, call)
      await refuseThrottled(counters, call)
      const isRight = await passwords.verify(password, user?.passwordHash, call, (compare) =>
        countFailures(counters, call, compare),
      )
      if (!isRight) record('sign_in_failed', fields)
      return isRight
    })
  }
}
