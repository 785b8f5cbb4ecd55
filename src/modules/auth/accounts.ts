import type { Call } from '#kernel/call.ts'
import { retryCompareAndSet } from '#kernel/compare-and-set.ts'
import { DomainError, isDomainError, validationFailed } from '#kernel/errors.ts'
import type { Client } from '#kernel/http/client-address.ts'
import type { CheckPassword } from './password-check.ts'
import { findWeakness } from './passwords/find-weakness.ts'
import type { Passwords } from './passwords/hashing.ts'
import type { Names } from './passwords/password-policy.ts'
import { type RecordEvent, recordThrottled } from './security-events.ts'
import { keyOfName, type Limits } from './throttling/limits.ts'
import { countOne, refuseThrottled } from './throttling/throttle.ts'
import type { UserRepository } from './user.repository.ts'
import type { User } from './user.ts'

// Users change a password by hand, so more lost compare-and-sets than this point to another fault.
export const maxPasswordAttempts = 10

export interface Registration {
  username: string
  email: string
  password: string
}

export interface PasswordChange {
  userId: string
  currentPassword: string
  newPassword: string
}

export type Accounts = ReturnType<typeof createAccounts>

/** The operations of users on their own accounts. */
export function createAccounts(options: {
  users: UserRepository
  passwords: Passwords
  checkPassword: CheckPassword
  limits: Limits
  record: RecordEvent
}) {
  const { users, passwords, checkPassword, limits, record } = options
  return {
    register(registration: Registration, { address, network }: Client, call: Call): Promise<User> {
      const perAddress = { limit: limits.registrationsPerAddress, key: network }
      const limit = limits.registrationsPerName
      const perName = {
        email_taken: { limit, key: keyOfName('email', registration.email) },
        username_taken: { limit, key: keyOfName('username', registration.username) },
      }
      const fields = { requestId: call.requestId, address, action: 'registration' as const }
      return recordThrottled(record, fields, async () => {
        passwords.requirePlace(call)
        await refuseThrottled([perAddress, ...Object.values(perName)], call)
        await countOne(perAddress, call)
        await refuseWeak('/password', registration.password, registration, call)
        try {
          const user = await addAccount({ users, passwords }, registration, 'customer', call)
          record('registered', { requestId: call.requestId, address, userId: user.userId })
          return user
        } catch (error) {
          if (isDomainError(error, 'email_taken', 'username_taken')) {
            await countOne(perName[error.code as keyof typeof perName], call)
          }
          throw error
        }
      })
    },

    async profile(userId: string, call: Call): Promise<User> {
      const user = await users.find(userId, call)
      if (!user) throw missingAccount()
      return user
    },

    /**
     * Replaces the password, which ends every refresh token of the account.
     * @throws DomainError `wrong_password`, not `invalid_credentials`: on a 401, clients would refresh their token and retry
     */
    async changePassword(
      { userId, currentPassword, newPassword }: PasswordChange,
      client: Client,
      call: Call,
    ): Promise<void> {
      passwords.requirePlace(call)
      await retryCompareAndSet({ subject: 'password', maxAttempts: maxPasswordAttempts }, async () => {
        const user = await users.find(userId, call)
        if (!user) throw missingAccount()
        const attempt = {
          account: userId,
          user,
          password: currentPassword,
          action: 'password_change' as const,
        }
        if (!(await checkPassword(attempt, client, call))) {
          throw new DomainError('wrong_password', 'currentPassword: is not the password of this account')
        }
        await refuseWeak('/newPassword', newPassword, user, call)
        // Another change, or a sign-in that upgrades the hash, may replace the stored hash between the read and this write.
        const isChanged = await users.changePassword(user, await passwords.hash(newPassword, call), call)
        return isChanged || undefined
      })
      record('password_changed', { requestId: call.requestId, address: client.address, userId })
    },
  }
}

/** @throws DomainError `email_taken` or `username_taken` */
export async function addAccount(
  { users, passwords }: { users: UserRepository; passwords: Passwords },
  { username, email, password }: Registration,
  role: User['role'],
  call: Call,
): Promise<User> {
  const passwordHash = await passwords.hash(password, call)
  const user = await users.add({ username, email, passwordHash, role }, call)
  if (user === 'email') throw new DomainError('email_taken', `email: ${email} already has an account`)
  if (user === 'username') throw new DomainError('username_taken', `username: ${username} is taken`)
  return user
}

async function refuseWeak(pointer: string, password: string, account: Names, call: Call): Promise<void> {
  const weakness = await findWeakness(password, account, call)
  if (weakness) throw validationFailed({ pointer, code: 'rule', message: weakness })
}

const missingAccount = () =>
  new DomainError('invalid_token', 'Authorization: the account of this token does not exist any more')
