import type { Role } from '#kernel/principal.ts'

/** An account. */
export interface User {
  userId: string
  username: string
  email: string
  role: Role
  passwordHash: string
  /**
   * Grows with every change of the password or the role. A refresh token from an earlier epoch is refused; an access token
   * stays valid until it expires.
   */
  sessionEpoch: number
  createdAt: Date
}

/** The account as its owner and operators see it: without the password hash. */
export const userResponse = ({ userId, username, email, role, createdAt }: User) => ({
  userId,
  username,
  email,
  role,
  createdAt: createdAt.toISOString(),
})
