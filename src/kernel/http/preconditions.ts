import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { DomainError } from '#kernel/errors.ts'
import { rule } from '#kernel/schemas.ts'
import type { AppEnv } from './app-env.ts'

/** The strong entity tag (RFC 9110, 8.8.3) of a version. */
export const etag = (version: number): string => `"${version}"`

const entityTag = '(?:W/)?"[\\x21\\x23-\\x7e\\x80-\\xff]*"'
// The list may have empty elements, because a recipient must ignore them (RFC 9110, 5.6.1).
const tagList = `[ \\t,]*${entityTag}(?:[ \\t]*,[ \\t,]*${entityTag})*[ \\t,]*`
const listOfTags = new RegExp(`^${tagList}$`)

/** `*`, or a list of entity tags as they are written (RFC 9110, 8.8.3), weak ones with their `W/`. */
export type EntityTags = '*' | readonly string[]

/** Parses the value of If-Match or If-None-Match. Returns undefined if it is malformed. */
export function parseEntityTags(header: string): EntityTags | undefined {
  if (header.trim() === '*') return '*'
  return listOfTags.test(header) ? (header.match(new RegExp(entityTag, 'g')) ?? undefined) : undefined
}

/** The conditions that a request sets for the current version of a resource. */
export interface Preconditions {
  ifMatch?: EntityTags | undefined
  ifNoneMatch?: EntityTags | undefined
}

export const preconditionsOf = (headers: {
  'If-Match'?: EntityTags | undefined
  'If-None-Match'?: EntityTags | undefined
}): Preconditions => ({ ifMatch: headers['If-Match'], ifNoneMatch: headers['If-None-Match'] })

/**
 * Whether the preconditions depend on the version. Then they may hold for one version and not for the next, so that a write must
 * change exactly the version that was checked.
 */
export const dependOnVersion = ({ ifMatch, ifNoneMatch }: Preconditions): boolean =>
  [ifMatch, ifNoneMatch].some((tags) => tags !== undefined && tags !== '*')

/** If-Match compares strongly (RFC 9110, 8.8.3.2): a weak tag never matches. */
const matchesStrongly = (tags: EntityTags, version: number): boolean =>
  tags === '*' || tags.includes(etag(version))

const isWeak = (tag: string): boolean => tag.startsWith('W/')
const withoutWeakness = (tag: string): string => (isWeak(tag) ? tag.slice(2) : tag)

const weakTagHint =
  '; a weak entity tag never matches, so send it without W/, or send `version` in the body of the update'

/** If-None-Match compares weakly. */
const matchesWeakly = (tags: EntityTags, current: string): boolean =>
  tags === '*' || tags.some((tag) => withoutWeakness(tag) === withoutWeakness(current))

/**
 * Checks the preconditions of a write to a resource that exists, in the order of RFC 9110, 13.2.2.
 * @throws DomainError `precondition_failed`
 */
export function checkPreconditions({ ifMatch, ifNoneMatch }: Preconditions, version: number): void {
  if (ifMatch !== undefined && !matchesStrongly(ifMatch, version)) {
    // A proxy that compresses answers makes their strong tags weak.
    const hint = Array.isArray(ifMatch) && ifMatch.some(isWeak) ? weakTagHint : ''
    throw new DomainError(
      'precondition_failed',
      `If-Match: the current entity tag is ${etag(version)}${hint}`,
    )
  }
  if (ifNoneMatch !== undefined && matchesWeakly(ifNoneMatch, etag(version))) {
    throw new DomainError('precondition_failed', `If-None-Match: the current entity tag is ${etag(version)}`)
  }
}

/** Sets the ETag of the answer. Returns true if the answer must be 304 because of If-None-Match (RFC 9110, 13.1.2). */
export function notModified(c: Context<AppEnv>, current: string): boolean {
  c.get('headers').etag = current
  const header = c.req.header('If-None-Match')
  const tags = header === undefined ? undefined : parseEntityTags(header)
  return tags !== undefined && matchesWeakly(tags, current)
}

const expectedTags = 'must be * or a list of quoted entity tags, such as "3" or "3", "4"'

/** The schema of a header with entity tags. A malformed value is refused, because the client may have wanted to prevent the write. */
const entityTags = (description: string) =>
  z
    .string()
    .transform((header, context) => {
      const tags = parseEntityTags(header)
      if (tags) return tags
      context.addIssue({ code: 'custom', ...rule('format', expectedTags) })
      return z.NEVER
    })
    .optional()
    .openapi({ type: 'string', pattern: `^(?:[ \\t]*\\*[ \\t]*|${tagList})$`, description })

/** The schema of the headers that make a write conditional. */
export const preconditions = z.object({
  'If-Match': entityTags(
    'RFC 9110, 13.1.1: `*` or a list of quoted entity tags. The answer is 412 if the current version is not among them.',
  ),
  'If-None-Match': entityTags(
    'RFC 9110, 13.1.2: `*` or a list of quoted entity tags. The answer is 412 if the current version is among them.',
  ),
})
