export const roles = ['customer', 'admin'] as const
export type Role = (typeof roles)[number]

/** Who makes a request, as the signed token says: nothing of it ever comes from the request itself. */
export interface Principal {
  userId: string
  role: Role
}
