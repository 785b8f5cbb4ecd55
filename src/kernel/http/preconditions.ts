import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { DomainError } from '#kernel/errors.ts'
import type { AppEnv } from './router.ts'

/** A version as a strong entity tag (RFC 9110, 8.8.3). */
export const etag = (version: number): string => `"${version}"`

const entityTag = '(?:W/)?"[\\x21\\x23-\\x7e\\x80-\\xff]*"'
// RFC 9110, 5.6.1: a recipient ignores empty elements.
const listOfTags = new RegExp(`^[ \\t,]*${entityTag}(?:[ \\t]*,[ \\t,]*${entityTag})*[ \\t,]*$`)

/** `*`, or a list of entity tags as they are written (RFC 9110, 8.8.3), weak ones with their `W/`. */
export type EntityTags = '*' | readonly string[]

/** The value of If-Match or If-None-Match; undefined if it is malformed. */
export function parseEntityTags(header: string): EntityTags | undefined {
  if (header.trim() === '*') return '*'
  return listOfTags.test(header) ? (header.match(new RegExp(entityTag, 'g')) ?? undefined) : undefined
}

/** What a request asks of the version that it acts on. */
export interface Preconditions {
  ifMatch?: EntityTags | undefined
  ifNoneMatch?: EntityTags | undefined
}

/** The preconditions of a write, from its headers as they were checked. */
export const preconditionsOf = (headers: {
  'If-Match'?: EntityTags | undefined
  'If-None-Match'?: EntityTags | undefined
}): Preconditions => ({ ifMatch: headers['If-Match'], ifNoneMatch: headers['If-None-Match'] })

/** Whether they may hold of one version and not of the next, so that a write must be of the version that was checked. */
export const nameVersions = ({ ifMatch, ifNoneMatch }: Preconditions): boolean =>
  [ifMatch, ifNoneMatch].some((tags) => tags !== undefined && tags !== '*')

/** If-Match compares strongly (RFC 9110, 8.8.3.2): a weak tag never matches. */
const matchesStrongly = (tags: EntityTags, version: number): boolean =>
  tags === '*' || tags.includes(etag(version))

/** If-None-Match compares weakly. */
const matchesWeakly = (tags: EntityTags, version: number): boolean =>
  tags === '*' || tags.includes(etag(version)) || tags.includes(`W/${etag(version)}`)

/**
 * Of a write to what exists, in the order of RFC 9110, 13.2.2.
 * @throws DomainError `precondition_failed`
 */
export function checkPreconditions({ ifMatch, ifNoneMatch }: Preconditions, version: number): void {
  if (ifMatch !== undefined && !matchesStrongly(ifMatch, version)) {
    throw new DomainError('precondition_failed', `If-Match: the current version is ${etag(version)}`)
  }
  if (ifNoneMatch !== undefined && matchesWeakly(ifNoneMatch, version)) {
    throw new DomainError('precondition_failed', `If-None-Match: the current version is ${etag(version)}`)
  }
}

/** Sets the ETag and tells whether If-None-Match (RFC 9110, 13.1.2) asks for a 304 instead. */
export function notModified(c: Context<AppEnv>, version: number): boolean {
  c.get('headers').etag = etag(version)
  const header = c.req.header('If-None-Match')
  const tags = header === undefined ? undefined : parseEntityTags(header)
  return tags !== undefined && matchesWeakly(tags, version)
}

const quotedTags = 'must be * or a list of entity tags, which are quoted, such as "3" or "3", "4"'

/** `*`, or the entity tags of a list. A malformed one is refused: it may be meant to keep a write from happening. */
const entityTags = (description: string) =>
  z
    .string()
    .transform((header, context) => {
      const tags = parseEntityTags(header)
      if (tags) return tags
      context.addIssue({ code: 'custom', message: quotedTags })
      return z.NEVER
    })
    .optional()
    .openapi({ type: 'string', description, example: '"3"' })

/** The headers of a write that preconditions may keep from happening. */
export const preconditions = z.object({
  'If-Match': entityTags(
    'RFC 9110, 13.1.1: `*`, or quoted entity tags, of which one must be that of the current version; 412 otherwise',
  ),
  'If-None-Match': entityTags(
    'RFC 9110, 13.1.2: `*`, or quoted entity tags, of which none may be that of the current version; 412 otherwise',
  ),
})

/** Of a read. One that is malformed asks for nothing, so that the whole answer is right. */
export const ifNoneMatch = z.string().optional().openapi({
  description: 'RFC 9110, 13.1.2: 304 if it is `*` or has the entity tag of the current version',
  example: '"3"',
})
