import type { Call } from '#kernel/call.ts'
import { retryCompareAndSet } from '#kernel/compare-and-set.ts'
import { addAccount, maxPasswordAttempts, type Registration } from './accounts.ts'
import { demoCustomer } from './demo-accounts.ts'
import type { Passwords } from './passwords/hashing.ts'
import type { RecordEvent } from './security-events.ts'
import type { UserRepository } from './user.repository.ts'
import type { User } from './user.ts'

const maxListedAdmins = 1_000

export type AdminAccounts = ReturnType<typeof createAdminAccounts>

interface Dependencies {
  users: UserRepository
  passwords: Passwords
  record: RecordEvent
}

/** The operations of operators on any account, and of the boot on the admin account. */
export function createAdminAccounts({ users, passwords, record }: Dependencies) {
  const create = async (account: Registration, role: User['role'], call: Call): Promise<User> => {
    const user = await addAccount({ users, passwords }, account, role, call)
    record('registered', { requestId: call.requestId, userId: user.userId, role, by: 'operator' })
    return user
  }

  return {
    create,

    /**
     * Creates the account unless one has the username: an existing account keeps its password and its role.
     * @returns the role of the account
     * @throws DomainError `email_taken`
     */
    async ensure(account: Registration, role: User['role'], call: Call): Promise<User['role']> {
      const existing = await users.findByUsername(account.username, call)
      return (existing ?? (await create(account, role, call))).role
    },

    /** Whether there is an account with another username than these. */
    hasOthers: users.hasOthers,

    async isAdmin({ username, password }: Registration, call: Call): Promise<boolean> {
      const user = await users.findByUsername(username, call)
      return user?.role === 'admin' && passwords.verify(password, user.passwordHash, call)
    },

    /** Whether the account has the password of the demo's customer, which the documentation shows. */
    hasPublicPassword: ({ passwordHash }: User, call: Call): Promise<boolean> =>
      passwords.verify(demoCustomer.password, passwordHash, call),

    /** @param name an e-mail address or, without an @, a username */
    find: (name: string, call: Call): Promise<User | undefined> =>
      name.includes('@') ? users.findByEmail(name, call) : users.findByUsername(name, call),

    /** Lists the oldest admins first. `complete` is false if there are more. */
    async list(call: Call): Promise<{ admins: User[]; complete: boolean }> {
      const found = await users.listAdmins(maxListedAdmins + 1, call)
      return { admins: found.slice(0, maxListedAdmins), complete: found.length <= maxListedAdmins }
    },

    /** Changes the role, which ends every session of the account. @returns `last` if no admin would be left */
    async setRole({ userId, role: before }: User, role: User['role'], call: Call) {
      // Without this check, the repository would answer `last` for a customer if there is no admin.
      if (before === role) return 'unchanged'
      const outcome = await users.setRole(userId, role, call)
      if (outcome === 'changed') {
        record('role_changed', { requestId: call.requestId, userId, role, by: 'operator' })
      }
      return outcome
    },

    async endSessions({ userId }: User, call: Call): Promise<void> {
      await users.endSessions(userId, call)
      record('signed_out', { requestId: call.requestId, userId, by: 'operator' })
    },

    /**
     * Replaces the password without asking for the old one, which ends every session of the account.
     * @returns false if the account does not exist any more
     */
    async resetPassword({ userId }: User, password: string, call: Call): Promise<boolean> {
      const hash = await passwords.hash(password, call)
      const change = { subject: 'password', maxAttempts: maxPasswordAttempts }
      const isChanged = await retryCompareAndSet(change, async () => {
        const current = await users.find(userId, call)
        if (!current) return false
        return (await users.changePassword(current, hash, call)) || undefined
      })
      if (isChanged) record('password_changed', { requestId: call.requestId, userId, by: 'operator' })
      return isChanged
    },
  }
}
