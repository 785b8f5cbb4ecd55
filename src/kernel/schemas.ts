import { z } from '@hono/zod-openapi'
import type { FaultCode } from './errors.ts'
import { toMinorUnits } from './money.ts'

/**
 * The building blocks of the schemas. They have no examples, because tools send the example of an optional parameter or header
 * as it is: with one idempotency key for all, every second order would be refused.
 */

/** The options of a rule that is written as a function: its message, and the code of the fault in the answer. */
export const rule = (code: FaultCode, message: string) => ({ message, params: { code } })

/** 24 lower-case hex digits. */
export const idFormat = /^[0-9a-f]{24}$/
export const id = z.string().regex(idFormat, 'must be an id: 24 lower-case hex digits')

/** ISO 8601 in UTC with milliseconds. */
export const timestamp = z.iso.datetime({ precision: 3 })

// RFC 3339 without leap seconds. zod would also accept a time without seconds.
const timePattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:[0-5]\d(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/
const dateTime = z.iso.datetime({ offset: true })

/** A time in a request, with any offset and up to nanoseconds, as clients in all languages write it. */
export const time = z
  .string()
  .refine(
    (value) => timePattern.test(value) && dateTime.safeParse(value).success,
    rule('format', 'must be a time, such as 2026-11-23T10:15:00.000Z (RFC 3339)'),
  )
  .openapi({ format: 'date-time', pattern: timePattern.source })

/** An integer of at most 2^31 - 1. Its format tells generated clients which type is large enough. */
export const int32 = z.int().openapi({ format: 'int32' })
/** An integer of at most 2^53 - 1. */
export const int64 = z.int().openapi({ format: 'int64' })

/** Counts the code points of a text, as JSON Schema counts characters (RFC 8259). */
export function charactersOf(value: string): number {
  let count = 0
  for (const _character of value) count += 1
  return count
}

/** Whether the number of characters is within the bounds. The characters of a far too long text are not counted. */
export const hasCharacters = (value: string, min: number, max: number): boolean => {
  if (value.length > 2 * max) return false
  const characters = charactersOf(value)
  return characters >= min && characters <= max
}

/**
 * A visible character. White space, control characters, format characters and characters without a shape are not visible, such as
 * U+200B, the Hangul fillers, the blank of Braille and the empty notehead. Combining marks and unassigned characters have a shape.
 */
const visible =
  /[^\p{White_Space}\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\u2800\u{1d159}]/u

/**
 * The same pattern for the OpenAPI document. Regular expressions of JSON Schema must not use Unicode properties, because not all
 * languages support them (2020-12, 6.4). This pattern takes all characters beyond U+FFFF as visible, also format characters such as tags.
 */
export const visiblePattern =
  '[^\\u0000-\\u0020\\u007f-\\u00a0\\u00ad\\u034f\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u115f\\u1160\\u1680\\u17b4\\u17b5' +
  '\\u180b-\\u180f\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u2800\\u3000\\u3164\\ufdd0-\\ufdef\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\ufffe\\uffff]'

/** Whether the database can return a text unchanged: it has no NUL and no unpaired surrogate. */
export const isStorable = (value: string): boolean => value.isWellFormed() && !value.includes('\0')

function lengthFault(value: string, min: number, max: number): FaultCode | undefined {
  if (!hasCharacters(value, 0, max)) return 'max'
  if (!hasCharacters(value, min, max)) return 'min'
  return min === 0 || visible.test(value) ? undefined : 'format'
}

/**
 * A text that people read. Its length is counted in code points. Direction marks are accepted, because names in two scripts need them. A
 * page that shows such a text should isolate it (`<bdi>`).
 */
export const text = (min: number, max: number) =>
  z
    .string()
    .refine(isStorable, rule('format', 'must be well-formed Unicode without NUL'))
    .superRefine((value, context) => {
      const code = lengthFault(value, min, max)
      if (!code) return
      const visibly = min === 0 ? '' : ', at least one of them visible'
      const message = `must have ${min} to ${max} characters${visibly}`
      context.addIssue({ code: 'custom', ...rule(code, message) })
    })
    .openapi({
      type: 'string',
      minLength: min,
      maxLength: max,
      pattern: `^[^\\u0000]*${min > 0 ? `${visiblePattern}[^\\u0000]*` : ''}$`,
    })

/**
 * Options of a rule about several fields. With them the rule is checked even if a field has a fault, so that one answer
 * names all faults.
 */
export const alongWithFields = {
  when: ({ value }: { value: unknown }) =>
    typeof value === 'object' && value !== null && !Array.isArray(value),
}

const isMoney = (value: number) => /^-?\d+(\.\d{1,2})?$/.test(String(value))

/** Parses a decimal amount with at most two decimal places to minor units: `19.99` → 1999. */
export const money = (max: number) =>
  z
    .number()
    .min(0)
    .max(max)
    .refine(isMoney, rule('format', 'must have at most two decimal places'))
    .transform(toMinorUnits)
    // The document does not have `multipleOf: 0.01`, because validators compute with doubles, and 19.99 / 0.01 is no integer.
    .openapi({
      type: 'number',
      format: 'double',
      minimum: 0,
      maximum: max,
      description: 'A decimal amount with at most two decimal places. A third one is refused.',
    })

export const amount = z
  .number()
  .openapi({ format: 'double', description: 'A decimal amount with at most two decimal places.' })

export const currency = z
  .string()
  .regex(/^[A-Z]{3}$/, 'must be the code of a currency (ISO 4217): three upper-case letters')
  .openapi({ description: 'The currency of the amounts (ISO 4217). The server sets it.' })

const defaultLimit = 20
const limitRule = 'must be an integer from 1 to 100'
/** The query parameter `limit` of all lists. */
export const limit = z
  .string()
  .regex(/^-?(0|[1-9]\d*)$/, { message: limitRule, abort: true })
  .transform(Number)
  .pipe(z.number().min(1, limitRule).max(100, limitRule))
  .default(defaultLimit)
  .openapi({
    type: 'integer',
    format: 'int32',
    minimum: 1,
    maximum: 100,
    default: defaultLimit,
    description: 'The maximum number of entries on the page.',
  })

export const cursor = z
  .string()
  .min(1)
  .max(4_000)
  .regex(
    /^[A-Za-z0-9_-]*$/,
    'must be the nextCursor of a page of this list, with the same filters and the same sort',
  )
  .optional()
  .openapi({
    description:
      'The `nextCursor` of the previous page, with the same filters and the same `sort`. Without a cursor, the answer is the first page.',
  })

const keyRule = 'must be 1 to 255 visible ASCII characters'
export const idempotencyKey = z
  .string()
  .min(1, { message: keyRule, abort: true })
  .max(255, { message: keyRule, abort: true })
  .regex(/^[\x21-\x7e]*$/, keyRule)
  .optional()
  .openapi({
    description:
      'A key that the client makes for one intended change, such as a UUID. For at least 24 hours, a request with the same key and body gets the answer of the first one. The same key with another body is refused.',
  })
