import type { Role } from '#kernel/principal.ts'

/** An account as the module holds it. */
export interface User {
  userId: string
  username: string
  email: string
  role: Role
  passwordHash: string
  /** Grows with every change of the password or the role: what was signed in before goes on no longer than its token. */
  sessionEpoch: number
  createdAt: Date
}
