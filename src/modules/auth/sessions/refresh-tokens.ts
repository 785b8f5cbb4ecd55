import { createHash, createHmac, randomBytes } from 'node:crypto'
import { type Call, remainingMs } from '#kernel/call.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import type { User } from '../user.ts'

import type { RefreshFamily, RefreshFamilyRepository, SpentToken } from './refresh-family.repository.ts'

/**
 * Refresh tokens, rotated at each use, with reuse detection (RFC 9700, 4.14.2).
 *
 * A token is the selector of its family and a secret of 256 bits; of both only hashes are stored. One token of a family
 * is unspent. Each is made of the one before it and a random salt, which is kept for as long as an answer may have been
 * lost: a client that shows the spent token again gets the same successor, and not a second line of the family that a
 * thief could go on with unseen. Any other secret under a known selector was spent long ago, by its owner or by a thief,
 * and nobody can tell which: the family ends.
 *
 * A family lives for `lifetime` from its sign-in on, however often its token is rotated.
 */
export interface RefreshTokens {
  /** Starts a family. */
  issue(user: Pick<User, 'userId' | 'sessionEpoch'>, call: Call): Promise<string>
  /** Spends a token, or says what became of it. */
  rotate(token: string, call: Call): Promise<Rotation>
  /** Ends a token's family. @returns whose it was, if there was one */
  end(token: string, call: Call): Promise<string | undefined>
}

export type Rotation =
  | { outcome: 'rotated'; token: string; userId: string; sessionEpoch: number }
  | { outcome: 'unknown' }
  | { outcome: 'reused'; userId: string }

/** Milliseconds for which a spent token may be shown again. */
const answerMayBeLost = 10_000
// A client that rotates more often than that in ten seconds has no answer to wait for.
const spentKept = 20

const selectorBytes = 16
const secretBytes = 32

export function createRefreshTokens(options: {
  families: RefreshFamilyRepository
  /** Milliseconds. */
  lifetime: number
}): RefreshTokens {
  const { families, lifetime } = options

  // MongoDB removes what has expired within a minute or so.
  const isOver = ({ expiresAt }: RefreshFamily) => expiresAt.getTime() <= Date.now()

  return {
    async issue({ userId, sessionEpoch }, call) {
      const selector = randomBytes(selectorBytes)
      const secret = randomBytes(secretBytes)
      const expiresAt = new Date(Date.now() + lifetime)
      const family = { userId, sessionEpoch, tokenHash: hash(secret), spent: [], expiresAt }
      await families.add({ familyId: hash(selector), ...family }, call)
      return format(selector, secret)
    },

    async rotate(token, call) {
      const parts = parse(token)
      if (!parts) return { outcome: 'unknown' }
      const { selector, secret } = parts
      // At first as it was a moment ago: if this is the unspent token, the compare-and-set decides.
      let family = await families.find(hash(selector), call)
      for (let isLatest = false; remainingMs(call) > 0; isLatest = true) {
        if (!family || isOver(family)) return { outcome: 'unknown' }
        const { familyId, userId, sessionEpoch, tokenHash } = family
        if (hash(secret) === tokenHash) {
          const salt = randomBytes(secretBytes).toString('base64url')
          const next = successor(secret, salt)
          const latest = { hash: tokenHash, salt, at: new Date() }
          const change = { tokenHash: hash(next), spent: [...stillShown(family), latest].slice(-spentKept) }
          if (await families.rotate(family, change, call))
            return { outcome: 'rotated', token: format(selector, next), userId, sessionEpoch }
        } else {
          const current = unspent(secret, family)
          if (current) return { outcome: 'rotated', token: format(selector, current), userId, sessionEpoch }
          if (isLatest) {
            return (await families.end(familyId, call))
              ? { outcome: 'reused', userId }
              : { outcome: 'unknown' }
          }
        }
        family = await families.findLatest(familyId, call)
      }
      throw dependencyUnavailable('the time for this request is over')
    },

    async end(token, call) {
      const parts = parse(token)
      const family = parts && (await families.end(hash(parts.selector), call))
      return family && !isOver(family) ? family.userId : undefined
    },
  }
}

/**
 * Of the spent tokens those that may be shown again, and whatever was spent after the first of them: with replicas whose
 * clocks disagree that one may look older.
 */
function stillShown({ spent }: RefreshFamily): SpentToken[] {
  const first = spent.findIndex(({ at }) => Date.now() - at.getTime() <= answerMayBeLost)
  return first < 0 ? [] : spent.slice(first)
}

/** The family's unspent secret, if this one was spent a moment ago. */
function unspent(secret: Buffer, family: RefreshFamily): Buffer | undefined {
  const spent = stillShown(family)
  const at = spent.findIndex((token) => token.hash === hash(secret))
  if (at < 0) return undefined
  return spent.slice(at).reduce((before, { salt }) => successor(before, salt), secret)
}

const successor = (secret: Buffer, salt: string): Buffer => createHmac('sha256', salt).update(secret).digest()

const hash = (part: Buffer): string => createHash('sha256').update(part).digest('base64url')

const format = (selector: Buffer, secret: Buffer): string =>
  Buffer.concat([selector, secret]).toString('base64url')

function parse(token: string): { selector: Buffer; secret: Buffer } | undefined {
  const bytes = Buffer.from(token, 'base64url')
  if (bytes.length !== selectorBytes + secretBytes || bytes.toString('base64url') !== token) return undefined
  return { selector: bytes.subarray(0, selectorBytes), secret: bytes.subarray(selectorBytes) }
}
