export const roles = ['customer', 'admin'] as const
export type Role = (typeof roles)[number]

/** The user who makes a request. It comes from the signed token only, never from the path, the query or the body. */
export interface Principal {
  userId: string
  role: Role
}
