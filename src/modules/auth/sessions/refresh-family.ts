/** The refresh tokens that come from one sign-in. A family ends by being deleted. */
export interface RefreshFamily {
  familyId: string
  userId: string
  /** The account's epoch at the sign-in. A family of an earlier epoch has ended. */
  sessionEpoch: number
  /** The hash of the one unspent token. */
  tokenHash: string
  /** In the order in which the tokens were spent, the latest last. */
  spent: SpentToken[]
  expiresAt: Date
}

/** A token that was used, and the salt from which its successor was derived. */
export interface SpentToken {
  hash: string
  salt: string
  at: Date
}
