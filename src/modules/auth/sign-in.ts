import { type Call, remainingMs } from '#kernel/call.ts'
import { DomainError, isDomainError } from '#kernel/errors.ts'
import type { Client } from '#kernel/http/client-address.ts'
import type { CheckPassword } from './password-check.ts'
import type { Passwords } from './passwords/hashing.ts'
import type { RecordEvent } from './security-events.ts'
import type { TokenIssuer } from './sessions/access-token-issuer.ts'
import type { RefreshTokens } from './sessions/refresh-tokens.ts'
import type { KnownClientRepository } from './throttling/known-client.repository.ts'
import { keyOfName } from './throttling/limits.ts'
import type { UserRepository } from './user.repository.ts'
import type { User } from './user.ts'

/** Exactly one of `email` and `username` is given. */
export interface Login {
  email?: string | undefined
  username?: string | undefined
  password: string
}

export type SignIn = ReturnType<typeof createSignIn>

/** Signs clients in and out, and exchanges refresh tokens. */
export function createSignIn(options: {
  users: UserRepository
  passwords: Passwords
  checkPassword: CheckPassword
  tokens: TokenIssuer
  refreshTokens: RefreshTokens
  knownClients: KnownClientRepository
  record: RecordEvent
}) {
  const { users, passwords, checkPassword, tokens, refreshTokens, knownClients, record } = options

  const tokenResponse = async (user: User, refreshToken: string) => ({
    accessToken: await tokens.issue(user),
    tokenType: 'Bearer' as const,
    expiresIn: tokens.lifetimeSeconds,
    refreshToken,
  })

  return {
    /** An unknown account and a wrong password get the same answer, at the same cost. */
    async login({ email, username = '', password }: Login, client: Client, call: Call) {
      passwords.requirePlace(call)
      const user = await (email === undefined
        ? users.findByUsername(username, call)
        : users.findByEmail(email, call))
      const nameKey = email === undefined ? keyOfName('username', username) : keyOfName('email', email)
      const attempt = { account: user?.userId ?? nameKey, user, password, action: 'login' as const }
      const isRight = await checkPassword(attempt, client, call)
      if (!user || !isRight) {
        throw new DomainError('invalid_credentials', 'there is no account with this name and password')
      }
      await knownClients.remember(user.userId, client.network, call)
      const refreshToken = await refreshTokens.issue(user, call)
      if (passwords.isOutdated(user.passwordHash))
        await upgradeHash({ users, passwords }, user, password, call)
      record('signed_in', { requestId: call.requestId, address: client.address, userId: user.userId })
      return tokenResponse(user, refreshToken)
    },

    async refresh(token: string, { address }: Client, call: Call) {
      const rotation = await refreshTokens.rotate(token, call)
      if (rotation.outcome === 'reused') {
        record('refresh_reused', { requestId: call.requestId, address, userId: rotation.userId })
      }
      if (rotation.outcome !== 'rotated') throw invalidRefreshToken()
      const user = await users.find(rotation.userId, call)
      if (user?.sessionEpoch !== rotation.sessionEpoch) {
        await refreshTokens.end(rotation.token, call)
        throw invalidRefreshToken()
      }
      return tokenResponse(user, rotation.token)
    },

    async logout(token: string, { address }: Client, call: Call): Promise<void> {
      const userId = await refreshTokens.end(token, call)
      if (userId !== undefined) record('signed_out', { requestId: call.requestId, address, userId })
    },
  }
}

/** Replaces a hash of a lower cost by one of `BCRYPT_COST`. A failure does not matter: the next sign-in tries again. */
async function upgradeHash(
  { users, passwords }: { users: UserRepository; passwords: Passwords },
  user: User,
  password: string,
  call: Call,
): Promise<void> {
  // The gateway started to count the time of the request earlier. Half of the rest is left for the answer.
  const within = { ...call, deadline: call.deadline - Math.floor(remainingMs(call) / 2) }
  try {
    await users.upgradeHash(user, await passwords.hash(password, within), within)
  } catch (error) {
    if (!isDomainError(error, 'overloaded', 'dependency_unavailable')) throw error
  }
}

const invalidRefreshToken = () =>
  new DomainError('invalid_token', 'refreshToken: is unknown, spent or expired; sign in again')
