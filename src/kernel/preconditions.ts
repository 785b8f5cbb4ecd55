import type { Context } from 'hono'
import { DomainError } from './errors.ts'
import type { AppEnv } from './router.ts'

/** A version as a strong entity tag (RFC 9110, 8.8.3). */
export const etag = (version: number): string => `"${version}"`

const entityTag = '(?:W/)?"[\\x21\\x23-\\x7e\\x80-\\xff]*"'
const listOfTags = new RegExp(`^\\s*${entityTag}(?:\\s*,\\s*${entityTag})*\\s*$`)

/** The entity tags of a list; none of one that is malformed. */
const tagsOf = (header: string): string[] =>
  listOfTags.test(header) ? (header.match(new RegExp(entityTag, 'g')) ?? []) : []

/** The If-Match header (RFC 9110, 13.1.1): `*`, or the entity tags that it lists; undefined if there is none. */
export type IfMatch = '*' | readonly string[]

export const parseIfMatch = (header: string | undefined): IfMatch | undefined =>
  header === undefined ? undefined : header.trim() === '*' ? '*' : tagsOf(header)

/** Strong comparison: a weak tag never matches. */
export const matches = (ifMatch: IfMatch, version: number): boolean =>
  ifMatch === '*' || ifMatch.includes(etag(version))

/** @throws DomainError `precondition_failed` unless If-Match is absent or names the version */
export function checkIfMatch(ifMatch: IfMatch | undefined, version: number): void {
  if (ifMatch !== undefined && !matches(ifMatch, version)) {
    throw new DomainError('precondition_failed', `If-Match: the current version is ${etag(version)}`)
  }
}

/** Sets the ETag and tells whether If-None-Match (RFC 9110, 13.1.2, weak comparison) asks for a 304 instead. */
export function notModified(c: Context<AppEnv>, version: number): boolean {
  const current = etag(version)
  c.get('headers').etag = current
  const header = c.req.header('If-None-Match')
  if (header === undefined) return false
  return header.trim() === '*' || tagsOf(header).some((tag) => tag.replace(/^W\//, '') === current)
}
