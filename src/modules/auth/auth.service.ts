import type { Call } from '../../kernel/call.ts'
import { DomainError } from '../../kernel/errors.ts'
import type { Passwords } from './passwords.ts'
import type { TokenIssuer } from './tokens.ts'
import type { User, UserRepository } from './user.repository.ts'

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

export type AuthService = ReturnType<typeof createAuthService>

export function createAuthService(options: {
  users: UserRepository
  passwords: Passwords
  tokens: TokenIssuer
}) {
  const { users, passwords, tokens } = options

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

  return {
    register: (registration: Registration, call: Call) => add(registration, 'customer', call),

    /** One answer, at one cost, for an unknown account and a wrong password. */
    async login({ email, username, password }: Login, call: Call) {
      const user =
        email === undefined
          ? await users.findByUsername(username ?? '', call)
          : await users.findByEmail(email, call)
      const right = await passwords.verify(password, user?.passwordHash, call)
      if (!user || !right) {
        throw new DomainError('invalid_credentials', 'there is no account with this name and password')
      }
      return {
        accessToken: await tokens.issue(user),
        tokenType: 'Bearer' as const,
        expiresIn: tokens.lifetime,
      }
    },

    async profile(userId: string, call: Call): Promise<User> {
      const user = await users.find(userId, call)
      if (!user) throw new DomainError('invalid_token', 'Authorization: the account of this token is gone')
      return user
    },

    /**
     * Creates the admin unless the username is there: an existing account keeps its password.
     * @returns the account's role
     */
    async ensureAdmin(admin: Registration, call: Call): Promise<User['role']> {
      return (
        (await users.findByUsername(admin.username, call))?.role ?? (await add(admin, 'admin', call)).role
      )
    },

    isEmpty: (call: Call) => users.isEmpty(call),

    isRight: async ({ username, password }: Registration, call: Call): Promise<boolean> =>
      passwords.verify(password, (await users.findByUsername(username, call))?.passwordHash, call),
  }
}
