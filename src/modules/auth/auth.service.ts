import { createHash } from 'node:crypto'
import { type Call, remainingMs } from '#kernel/call.ts'
import { DomainError, isDomainError, validationFailed } from '#kernel/errors.ts'
import type { Client } from '#kernel/http/client-address.ts'
import { findWeakness } from './passwords/find-weakness.ts'
import type { Passwords } from './passwords/hashing.ts'
import type { Names } from './passwords/password-policy.ts'
import type { FieldsOf, RecordEvent } from './security-events.ts'
import type { TokenIssuer } from './sessions/access-tokens.ts'
import type { RefreshTokens } from './sessions/refresh-tokens.ts'
import type { KnownClientRepository } from './throttling/known-client.repository.ts'
import { type Counter, countFailures, countOne, type Limit, refuseThrottled } from './throttling/throttle.ts'
import type { UserRepository } from './user.repository.ts'
import type { User } from './user.ts'

export interface Registration {
  username: string
  email: string
  password: string
}

/** One of the two names the account. */
export interface Login {
  email?: string | undefined
  username?: string | undefined
  password: string
}

export interface PasswordChange {
  userId: string
  currentPassword: string
  newPassword: string
}

/** How often each of these may be; `registrations` of one name are those that found it taken. */
export interface Limits {
  failuresOfAccount: Limit
  failuresOfAddress: Limit
  /** Of one account from one address that it has been signed in from. */
  failuresOfKnownClient: Limit
  registrationsOfName: Limit
  registrationsOfAddress: Limit
}

// Admins that an operator is shown at most.
const listed = 1_000

export type AuthService = ReturnType<typeof createAuthService>

export function createAuthService(options: {
  users: UserRepository
  passwords: Passwords
  tokens: TokenIssuer
  refreshTokens: RefreshTokens
  knownClients: KnownClientRepository
  limits: Limits
  record: RecordEvent
}) {
  const { users, passwords, tokens, refreshTokens, knownClients, limits, record } = options

  const add = async (
    { username, email, password }: Registration,
    role: User['role'],
    call: Call,
  ): Promise<User> => {
    const passwordHash = await passwords.hash(password, call)
    const user = await users.add({ username, email, passwordHash, role }, call)
    if (user === 'email') throw new DomainError('email_taken', `email: ${email} already has an account`)
    if (user === 'username') throw new DomainError('username_taken', `username: ${username} is taken`)
    return user
  }

  /** Does it, and takes note if it is refused for being too many. */
  const throttled = async <T>(fields: FieldsOf<'throttled'>, work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      if (isDomainError(error, 'rate_limited')) record('throttled', fields)
      throw error
    }
  }

  /**
   * Whether the password is the account's, of as many attempts as the limits allow. From where its owner has signed in
   * before, attempts are counted apart: no stranger elsewhere can use them up.
   * @param account the id of the account or, of one that does not exist, the key of the name that was tried
   */
  const checkPassword = async (
    account: string,
    user: User | undefined,
    password: string,
    { address, network }: Client,
    action: 'login' | 'password_change',
    call: Call,
  ): Promise<boolean> => {
    const fields = { requestId: call.requestId, address, userId: user?.userId, action }
    return throttled(fields, async () => {
      const counters: Counter[] = (await knownClients.isKnown(account, network, call))
        ? [{ limit: limits.failuresOfKnownClient, key: `${account} ${network}` }]
        : [
            { limit: limits.failuresOfAccount, key: account },
            { limit: limits.failuresOfAddress, key: network },
          ]
      await refuseThrottled(counters, call)
      const right = await passwords.verify(password, user?.passwordHash, call, (compare) =>
        countFailures(counters, call, compare),
      )
      if (!right) record('sign_in_failed', fields)
      return right
    })
  }

  const createAdmin = async (admin: Registration, call: Call): Promise<User> => {
    const user = await add(admin, 'admin', call)
    const { userId, role } = user
    record('registered', { requestId: call.requestId, userId, role, by: 'operator' })
    return user
  }

  const upgradeHash = async (user: User, password: string, call: Call): Promise<void> => {
    // A front has begun to count before the service behind it: something is left for the way back.
    const within = { ...call, deadline: call.deadline - Math.floor(remainingMs(call) / 2) }
    try {
      await users.upgradeHash(user, await passwords.hash(password, within), within)
    } catch (error) {
      // No reason to refuse a password that is right: the next sign-in does it.
      if (!isDomainError(error, 'overloaded', 'dependency_unavailable')) throw error
    }
  }

  const withAccessToken = async (user: User, refreshToken: string) => ({
    accessToken: await tokens.issue(user),
    tokenType: 'Bearer' as const,
    expiresIn: tokens.lifetime,
    refreshToken,
  })

  return {
    async register(registration: Registration, { address, network }: Client, call: Call): Promise<User> {
      const fromAddress = { limit: limits.registrationsOfAddress, key: network }
      const names = {
        email_taken: { limit: limits.registrationsOfName, key: keyOf('email', registration.email) },
        username_taken: { limit: limits.registrationsOfName, key: keyOf('username', registration.username) },
      }
      const fields = { requestId: call.requestId, address, action: 'registration' as const }
      return throttled(fields, async () => {
        await refuseThrottled([fromAddress, ...Object.values(names)], call)
        await countOne(fromAddress, call)
        await refuseWeak('/password', registration.password, registration, call)
        try {
          const user = await add(registration, 'customer', call)
          record('registered', { requestId: call.requestId, address, userId: user.userId })
          return user
        } catch (error) {
          if (isDomainError(error, 'email_taken', 'username_taken')) {
            await countOne(names[error.code as keyof typeof names], call)
          }
          throw error
        }
      })
    },

    /** One answer, at one cost, for an unknown account and a wrong password. */
    async login({ email, username, password }: Login, client: Client, call: Call) {
      const user = await (email === undefined
        ? users.findByUsername(username ?? '', call)
        : users.findByEmail(email, call))
      const unknown = email === undefined ? keyOf('username', username ?? '') : keyOf('email', email)
      const account = user?.userId ?? unknown
      const right = await checkPassword(account, user, password, client, 'login', call)
      if (!user || !right) {
        throw new DomainError('invalid_credentials', 'there is no account with this name and password')
      }
      await knownClients.remember(user.userId, client.network, call)
      const refreshToken = await refreshTokens.issue(user, call)
      if (passwords.isOutdated(user.passwordHash)) await upgradeHash(user, password, call)
      record('signed_in', { requestId: call.requestId, address: client.address, userId: user.userId })
      return withAccessToken(user, refreshToken)
    },

    async refresh(token: string, { address }: Client, call: Call) {
      const rotation = await refreshTokens.rotate(token, call)
      if (rotation.outcome === 'reused') {
        record('refresh_reused', { requestId: call.requestId, address, userId: rotation.userId })
      }
      if (rotation.outcome !== 'rotated') throw spentRefreshToken()
      const user = await users.find(rotation.userId, call)
      if (user?.sessionEpoch !== rotation.sessionEpoch) {
        await refreshTokens.end(rotation.token, call)
        throw spentRefreshToken()
      }
      return withAccessToken(user, rotation.token)
    },

    async logout(token: string, { address }: Client, call: Call): Promise<void> {
      const userId = await refreshTokens.end(token, call)
      if (userId !== undefined) record('signed_out', { requestId: call.requestId, address, userId })
    },

    async profile(userId: string, call: Call): Promise<User> {
      const user = await users.find(userId, call)
      if (!user) throw goneAccount()
      return user
    },

    /** Every refresh token of the account ends with the old password. */
    async changePassword(
      { userId, currentPassword, newPassword }: PasswordChange,
      client: Client,
      call: Call,
    ): Promise<void> {
      for (let changed = false; !changed; ) {
        const user = await users.find(userId, call)
        if (!user) throw goneAccount()
        if (!(await checkPassword(userId, user, currentPassword, client, 'password_change', call))) {
          throw new DomainError('invalid_credentials', 'currentPassword: is not the password of this account')
        }
        await refuseWeak('/newPassword', newPassword, user, call)
        // Not if the hash is another one meanwhile: of another password, or upgraded by a sign-in.
        changed = await users.changePassword(user, await passwords.hash(newPassword, call), call)
      }
      record('password_changed', { requestId: call.requestId, address: client.address, userId })
    },

    /**
     * Creates the admin unless the username is there: an existing account keeps its password.
     * @returns the account's role
     */
    async ensureAdmin(admin: Registration, call: Call): Promise<User['role']> {
      const existing = await users.findByUsername(admin.username, call)
      return (existing ?? (await createAdmin(admin, call))).role
    },

    /** The account of an e-mail address or, without an @, of a username. */
    account: (name: string, call: Call): Promise<User | undefined> =>
      name.includes('@') ? users.findByEmail(name, call) : users.findByUsername(name, call),

    createAdmin,

    /** Ends every session of the account. @returns `last` if nobody else would be left who is an admin */
    async setRole({ userId, role: before }: User, role: User['role'], call: Call) {
      // A customer is not the last admin where there is none at all.
      if (before === role) return 'unchanged'
      const outcome = await users.setRole(userId, role, call)
      if (outcome === 'changed') {
        record('role_changed', { requestId: call.requestId, userId, role, by: 'operator' })
      }
      return outcome
    },

    /** Ends every session of the account: for operators. */
    async endSessions({ userId }: User, call: Call): Promise<void> {
      await users.endSessions(userId, call)
      record('signed_out', { requestId: call.requestId, userId, by: 'operator' })
    },

    /** The oldest first; `complete` is false if there are more than these. */
    async admins(call: Call): Promise<{ admins: User[]; complete: boolean }> {
      const found = await users.admins(listed + 1, call)
      return { admins: found.slice(0, listed), complete: found.length <= listed }
    },

    /**
     * Without the old one, and whatever becomes of that meanwhile: for operators. Ends every session of the account.
     * @returns false if the account is gone
     */
    async resetPassword(user: User, password: string, call: Call): Promise<boolean> {
      const hash = await passwords.hash(password, call)
      let now: User | undefined = user
      while (now && !(await users.changePassword(now, hash, call))) now = await users.find(user.userId, call)
      if (now) record('password_changed', { requestId: call.requestId, userId: now.userId, by: 'operator' })
      return now !== undefined
    },

    isEmpty: (call: Call) => users.isEmpty(call),

    /** Whether an admin has this name, and this password. */
    async isAdmin({ username, password }: Registration, call: Call): Promise<boolean> {
      const user = await users.findByUsername(username, call)
      return user?.role === 'admin' && passwords.verify(password, user.passwordHash, call)
    },
  }
}

/**
 * What a name is counted under that may be nobody's: of each kind apart, as they are looked up, and never an account's
 * id. A hash, since it may be a password in the wrong field, and counters are stored.
 */
const keyOf = (kind: 'email' | 'username', name: string): string =>
  createHash('sha256').update(`${kind} ${name.toLowerCase()}`).digest('base64url')

async function refuseWeak(pointer: string, password: string, account: Names, call: Call): Promise<void> {
  const weakness = await findWeakness(password, account, call)
  if (weakness) throw validationFailed({ pointer, message: weakness })
}

const goneAccount = () => new DomainError('invalid_token', 'Authorization: the account of this token is gone')

const spentRefreshToken = () =>
  new DomainError('invalid_token', 'refreshToken: is unknown, spent or expired; sign in again')
