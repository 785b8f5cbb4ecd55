import parseContentType from 'fast-content-type-parse'
import type { Context } from 'hono'
import { DomainError } from '#kernel/errors.ts'
import type { AppEnv } from './app-env.ts'
import { cutShort } from './body-limit.ts'
import { elementsOf } from './header-list.ts'

/** Fields and entries of a body that are looked at. A valid order of 100 lines has 302. */
export const valuesBound = 500

/** A body that was read. */
export interface JsonBody {
  value: unknown
  /** Whether that is all of it. A body of more values than were asked for ends early, with its brackets closed. */
  isWhole: boolean
}

/**
 * The body as JSON (RFC 8259): `application/json`, UTF-8, without a content coding. A body that is not there is an empty
 * object, of which a schema tells what is missing.
 * @param most values that are parsed: parsing many small ones takes far longer than as many bytes of one value
 * @throws DomainError `unsupported_media_type`, `malformed_json`
 */
export async function readJson(c: Context<AppEnv>, most = valuesBound): Promise<JsonBody> {
  const contentType = c.req.header('Content-Type') ?? ''
  if (contentType !== '') checkType(contentType)
  checkCoding(c)
  const bytes = await c.req.arrayBuffer().catch(cutShort)
  if (contentType === '') {
    if (bytes.byteLength > 0) throw unsupported('Content-Type: must be application/json')
    return { value: {}, isWhole: true }
  }
  const text = decoded(bytes)
  const end = endOf(text, most)
  try {
    if (end === undefined) return { value: JSON.parse(text), isWhole: true }
    // The body is refused in any case, so that the rest is not read. The end of the text shows whether it was cut off on its way.
    if (!/[\]}]\s*$/.test(text.slice(-100))) throw new Error('the body is not complete')
    return { value: JSON.parse(text.slice(0, end.at) + end.closing), isWhole: false }
  } catch {
    throw new DomainError('malformed_json', 'the body must be JSON (RFC 8259)')
  }
}

const unsupported = (message: string) => new DomainError('unsupported_media_type', message)

function checkType(header: string): void {
  const { type, parameters } = parseContentType.safeParse(header)
  if (type !== 'application/json') throw unsupported('Content-Type: must be application/json')
  const { charset = 'utf-8' } = parameters
  const isGivenTwice = (header.match(/;\s*charset\s*=/gi) ?? []).length > 1
  if (isGivenTwice || !/^utf-?8$/i.test(charset))
    throw unsupported('Content-Type: the charset must be utf-8, or be left out')
}

function checkCoding(c: Context<AppEnv>): void {
  const codings = elementsOf(c.req.header('Content-Encoding') ?? '')
  if (codings.every((coding) => coding.toLowerCase() === 'identity')) return
  // RFC 9110, 12.5.3: so that clients learn what is taken.
  c.get('headers')['accept-encoding'] = 'identity'
  throw unsupported('Content-Encoding: must be identity, or be left out; bodies are read uncompressed')
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** A byte order mark before the text is ignored, which RFC 8259 (8.1) leaves to its reader. */
function decoded(bytes: ArrayBuffer): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new DomainError('malformed_json', 'the body must be UTF-8 (RFC 8259, 8.1)')
  }
}

/** Where a JSON text has had `most` values, and what closes the brackets that are open there; undefined if it has fewer. */
function endOf(text: string, most: number): { at: number; closing: string } | undefined {
  // Each value but the first comes after a comma or a bracket. Most texts are known not to have enough of them at a glance.
  if (text.length < most) return undefined
  if ([',', '[', '{'].reduce((sum, mark) => sum + countOf(mark, text, most), 0) < most) return undefined
  let values = 0
  let closing = ''
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '"') at = endOfString(text, at)
    else if (character === '[') closing = `]${closing}`
    else if (character === '{') closing = `}${closing}`
    else if (character === ']' || character === '}') closing = closing.slice(1)
    if (character !== ',' && character !== '[' && character !== '{') continue
    values += 1
    if (values === most) return { at: character === ',' ? at : at + 1, closing }
  }
  return undefined
}

const quote = '"'.charCodeAt(0)
const backslash = '\\'.charCodeAt(0)

/** Where the string that begins there ends. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) return at
    if (code === backslash) at += 1
  }
  return text.length
}

/** How often it is in the text, `most` times at most. */
function countOf(mark: string, text: string, most: number): number {
  let count = 0
  for (let at = text.indexOf(mark); at !== -1 && count < most; at = text.indexOf(mark, at + 1)) count += 1
  return count
}
