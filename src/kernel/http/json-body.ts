import parseContentType from 'fast-content-type-parse'
import type { Context } from 'hono'
import { DomainError } from '#kernel/errors.ts'
import type { AppEnv } from './app-env.ts'
import { refuseIncompleteBody } from './body-limit.ts'
import { elementsOf } from './header-list.ts'

/** The number of fields and entries at which a body is refused. A valid order of 100 lines has 302. */
export const maxBodyValues = 500

/** The media types of a PATCH. A merge patch (RFC 7396) has the same form: no field of this API may be null. */
export const patchTypes = ['application/json', 'application/merge-patch+json'] as const

export interface JsonBody {
  value: unknown
  /** False if the body has too many values. Then `value` has only the first ones. */
  isComplete: boolean
}

interface JsonOptions {
  /** The default is `application/json`. */
  mediaTypes?: readonly string[]
  /** The maximum number of values. Many small values take much longer than one value of the same size. */
  maxValues?: number
}

/**
 * Reads the body as JSON (RFC 8259). It must have one of the media types, in UTF-8 without a content coding. A missing
 * body is read as an empty object, so that the schema can name each missing field.
 * @throws DomainError `unsupported_media_type`, `malformed_json`
 */
export async function readJson(
  c: Context<AppEnv>,
  { mediaTypes = ['application/json'], maxValues = maxBodyValues }: JsonOptions = {},
): Promise<JsonBody> {
  const contentType = c.req.header('Content-Type') ?? ''
  const fault = (contentType !== '' && typeFault(contentType, mediaTypes)) || codingFault(c)
  if (fault) throw unsupported(c, mediaTypes, fault)
  const bytes = await c.req.arrayBuffer().catch(refuseIncompleteBody)
  if (contentType === '') {
    if (bytes.byteLength > 0) throw unsupported(c, mediaTypes, wrongType(mediaTypes))
    return { value: {}, isComplete: true }
  }
  const text = decodeUtf8(bytes)
  const cut = findCut(text, maxValues)
  try {
    if (cut === undefined) return { value: JSON.parse(text), isComplete: true }
    // The body has too many values and will be refused, so that the rest is not parsed. A body that does not end with a bracket
    // was cut off in transit.
    if (!/[\]}]\s*$/.test(text.slice(-100))) throw new Error('the body is not complete')
    return { value: JSON.parse(text.slice(0, cut.at) + cut.closing), isComplete: false }
  } catch {
    throw new DomainError('malformed_json', 'the body must be JSON (RFC 8259)')
  }
}

function unsupported(c: Context<AppEnv>, mediaTypes: readonly string[], message: string): DomainError {
  // RFC 5789, section 2.2: the header field tells the client how to send the patch.
  if (c.req.method === 'PATCH') c.get('headers')['accept-patch'] = mediaTypes.join(', ')
  return new DomainError('unsupported_media_type', message)
}

const wrongType = (mediaTypes: readonly string[]) => `Content-Type: must be ${mediaTypes.join(' or ')}`

function typeFault(header: string, mediaTypes: readonly string[]): string | undefined {
  const { type, parameters } = parseContentType.safeParse(header)
  if (!mediaTypes.includes(type)) return wrongType(mediaTypes)
  const { charset = 'utf-8' } = parameters
  const isGivenTwice = (header.match(/;\s*charset\s*=/gi) ?? []).length > 1
  if (!isGivenTwice && /^utf-?8$/i.test(charset)) return undefined
  return 'Content-Type: the charset must be utf-8, or be left out'
}

function codingFault(c: Context<AppEnv>): string | undefined {
  const codings = elementsOf(c.req.header('Content-Encoding') ?? '')
  if (codings.every((coding) => coding.toLowerCase() === 'identity')) return undefined
  // RFC 9110, section 12.5.3: the header field tells the client which codings are accepted.
  c.get('headers')['accept-encoding'] = 'identity'
  return 'Content-Encoding: must be identity, or be left out; bodies are read uncompressed'
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Decodes UTF-8, and ignores a byte order mark, as RFC 8259, section 8.1, permits. */
function decodeUtf8(bytes: ArrayBuffer): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new DomainError('malformed_json', 'the body must be UTF-8 (RFC 8259, 8.1)')
  }
}

/**
 * Finds where a JSON text reaches `maxValues` values, and the brackets that close the text there. Undefined if the text has fewer
 * values.
 */
function findCut(text: string, maxValues: number): { at: number; closing: string } | undefined {
  // Each value except the first one follows a comma or a bracket. Most texts have too few of these characters, which
  // two fast checks show.
  if (text.length < maxValues) return undefined
  if ([',', '[', '{'].reduce((sum, mark) => sum + countUpTo(maxValues, mark, text), 0) < maxValues)
    return undefined
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
    if (values === maxValues) return { at: character === ',' ? at : at + 1, closing }
  }
  return undefined
}

const quote = '"'.charCodeAt(0)
const backslash = '\\'.charCodeAt(0)

/** The index of the quote that ends the string. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) return at
    if (code === backslash) at += 1
  }
  return text.length
}

/** Counts a character in the text, and stops at `max`. */
function countUpTo(max: number, mark: string, text: string): number {
  let count = 0
  for (let at = text.indexOf(mark); at !== -1 && count < max; at = text.indexOf(mark, at + 1)) count += 1
  return count
}
