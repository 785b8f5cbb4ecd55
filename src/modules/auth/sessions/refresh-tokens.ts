import { createHash, createHmac, randomBytes } from 'node:crypto'
import type { Call } from '#kernel/call.ts'
import { retryCompareAndSet } from '#kernel/compare-and-set.ts'
import type { User } from '../user.ts'
import type { RefreshFamilyRepository } from './refresh-family.repository.ts'
import type { RefreshFamily, SpentToken } from './refresh-family.ts'

/**
 * Refresh tokens. Each use rotates the token, and reuse is detected (RFC 9700, 4.14.2).
 *
 * A token consists of its family's selector and a secret of 256 bits. Only hashes of both are stored. Each family has one
 * unspent token. The successor of a token is derived from its secret and a random salt. The salt is stored for as long as a
 * client may retry after a lost answer: a client that sends the spent token again gets the same successor. A second valid
 * token is never created, because an attacker could rotate it unnoticed.
 *
 * Every other secret with a known selector was spent long ago, by the owner or by an attacker. The service cannot tell which,
 * so it ends the family.
 *
 * A family expires `lifetimeMs` after its sign-in, however often its token is rotated.
 */
export interface RefreshTokens {
  /** Starts a family, and returns its first token. */
  issue(user: Pick<User, 'userId' | 'sessionEpoch'>, call: Call): Promise<string>
  rotate(token: string, call: Call): Promise<Rotation>
  /** Ends the family of a token. @returns the account's id, if the family existed */
  end(token: string, call: Call): Promise<string | undefined>
}

export type Rotation =
  | { outcome: 'rotated'; token: string; userId: string; sessionEpoch: number }
  | { outcome: 'unknown' }
  /** The token was spent long ago, and its family has been ended. */
  | { outcome: 'reused'; userId: string }

const lostAnswerWindowMs = 10_000
/** Bounds the size of a family. A client that rotates more often within the window is not waiting for an answer. */
const maxSpentTokens = 20

// A token is spent once, so that the third attempt finds it spent, at the latest.
const maxAttempts = 3

const selectorBytes = 16
const secretBytes = 32

export function createRefreshTokens(options: {
  families: RefreshFamilyRepository
  lifetimeMs: number
}): RefreshTokens {
  const { families, lifetimeMs } = options
  return {
    async issue({ userId, sessionEpoch }, call) {
      const selector = randomBytes(selectorBytes)
      const secret = randomBytes(secretBytes)
      const expiresAt = new Date(Date.now() + lifetimeMs)
      const family = { userId, sessionEpoch, tokenHash: hash(secret), spent: [], expiresAt }
      await families.add({ familyId: hash(selector), ...family }, call)
      return format(selector, secret)
    },

    async rotate(token, call) {
      const parts = parse(token)
      return parts ? rotate(families, parts, call) : { outcome: 'unknown' }
    },

    async end(token, call) {
      const parts = parse(token)
      const family = parts && (await families.end(hash(parts.selector), call))
      return family && !isExpired(family) ? family.userId : undefined
    },
  }
}

function rotate(
  families: RefreshFamilyRepository,
  { selector, secret }: TokenParts,
  call: Call,
): Promise<Rotation> {
  const familyId = hash(selector)
  let isLatest = false
  return retryCompareAndSet({ subject: 'session', maxAttempts }, async () => {
    // The first read may be slightly out of date. That is enough to rotate, because the compare-and-set decides.
    const family = await (isLatest ? families.findLatest(familyId, call) : families.find(familyId, call))
    if (!family || isExpired(family)) return { outcome: 'unknown' }
    const { userId, sessionEpoch } = family
    const rotated = (next: Buffer): Rotation => ({
      outcome: 'rotated',
      token: format(selector, next),
      userId,
      sessionEpoch,
    })
    if (hash(secret) === family.tokenHash) {
      const { next, change } = rotationOf(family, secret)
      if (await families.rotate(family, change, call)) return rotated(next)
    } else {
      const current = unspentSecret(secret, family)
      if (current) return rotated(current)
      if (isLatest) {
        return (await families.end(familyId, call)) ? { outcome: 'reused', userId } : { outcome: 'unknown' }
      }
    }
    isLatest = true
    return undefined
  })
}

/** Derives the successor of a secret, and the change of the family that makes it the unspent secret. */
function rotationOf(family: RefreshFamily, secret: Buffer) {
  const salt = randomBytes(secretBytes).toString('base64url')
  const next = successor(secret, salt)
  const latest = { hash: family.tokenHash, salt, at: new Date() }
  const spent = [...recentlySpent(family), latest].slice(-maxSpentTokens)
  return { next, change: { tokenHash: hash(next), spent } }
}

/** The family's unspent secret, if this secret was spent within the window. */
function unspentSecret(secret: Buffer, family: RefreshFamily): Buffer | undefined {
  const spent = recentlySpent(family)
  const at = spent.findIndex((token) => token.hash === hash(secret))
  if (at < 0) return undefined
  return spent.slice(at).reduce((before, { salt }) => successor(before, salt), secret)
}

/**
 * The tokens spent within the window. Every token spent after the first of these is included: if the clocks of replicas differ,
 * a later token may look older.
 */
function recentlySpent({ spent }: RefreshFamily): SpentToken[] {
  const first = spent.findIndex(({ at }) => Date.now() - at.getTime() <= lostAnswerWindowMs)
  return first < 0 ? [] : spent.slice(first)
}

/** MongoDB deletes expired families up to a minute later. */
const isExpired = ({ expiresAt }: RefreshFamily): boolean => expiresAt.getTime() <= Date.now()

const successor = (secret: Buffer, salt: string): Buffer => createHmac('sha256', salt).update(secret).digest()

const hash = (part: Buffer): string => createHash('sha256').update(part).digest('base64url')

interface TokenParts {
  selector: Buffer
  secret: Buffer
}

const format = (selector: Buffer, secret: Buffer): string =>
  Buffer.concat([selector, secret]).toString('base64url')

/** @returns undefined if the text does not have the form of a token */
function parse(token: string): TokenParts | undefined {
  const bytes = Buffer.from(token, 'base64url')
  // Decoding ignores characters that base64url does not have.
  if (bytes.length !== selectorBytes + secretBytes || bytes.toString('base64url') !== token) return undefined
  return { selector: bytes.subarray(0, selectorBytes), secret: bytes.subarray(selectorBytes) }
}
