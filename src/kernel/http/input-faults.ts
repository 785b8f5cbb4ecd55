import type { z } from '@hono/zod-openapi'
import { excerpt, type Fault, type FaultCode, faultCodes, listedFaults } from '#kernel/errors.ts'
import { nearestName } from '#kernel/nearest-name.ts'

export type Part = 'body' | 'path' | 'query' | 'header'

export interface Faults {
  /** The faults that the answer lists, at most 20. */
  listed: Fault[]
  /** The number of all faults. */
  count: number
}

/**
 * Returns the faults that a schema found in a part of a request. Faults that are not listed are only counted, which is
 * cheap.
 */
export function faultsOf(part: Part, schema: z.ZodType, input: unknown, error: z.ZodError): Faults {
  const listed = error.issues
    .slice(0, listedFaults)
    .flatMap((issue) => {
      if (issue.code === 'unrecognized_keys') return unknownKeyFaults(part, schema, input, issue)
      const value = valueAt(input, part === 'query' ? pathInQuery(input, issue.path) : issue.path)
      const isRepeated = part === 'query' && Array.isArray(value)
      const code = isRepeated ? 'repeated' : faultCodeOf(issue, value)
      return [fault(part, issue.path, code, isRepeated ? 'must be given only once' : issue.message)]
    })
    .slice(0, listedFaults)
  const count = error.issues.reduce(
    (sum, issue) => sum + (issue.code === 'unrecognized_keys' ? issue.keys.length : 1),
    0,
  )
  return { listed, count }
}

/**
 * The code of a fault that zod found. A rule that is written as a function names its code in `params` (see `rule` in
 * schemas.ts).
 */
export function faultCodeOf(issue: z.core.$ZodIssue, value: unknown): FaultCode {
  switch (issue.code) {
    case 'invalid_type':
      return value === undefined ? 'required' : 'type'
    case 'invalid_value':
      if (value === undefined) return 'required'
      return issue.values.some((each) => typeof each === typeof value) ? 'format' : 'type'
    case 'too_small':
      return 'min'
    case 'too_big':
      return 'max'
    case 'invalid_format':
      return 'format'
    case 'unrecognized_keys':
      return 'unknown'
    default: {
      const { params } = issue as { params?: { code?: unknown } }
      return faultCodes.find((code) => code === params?.code) ?? 'rule'
    }
  }
}

function unknownKeyFaults(
  part: Part,
  schema: z.ZodType,
  input: unknown,
  { path, keys }: z.core.$ZodIssueUnrecognizedKeys,
): Fault[] {
  const shape = shapeAt(schema, path)
  const known = Object.keys(shape)
  const given = valueAt(input, path)
  const missing = known.filter((name) => shape[name]?._zod.optin === undefined && !Object.hasOwn(given, name))
  // If one field is missing and one is unknown, the client probably meant the missing one, however different the names are.
  const onlyMissing = keys.length === 1 && missing.length === 1 ? missing[0] : undefined
  return keys.slice(0, listedFaults).map((key) => {
    const probable = nearestName(key, known) ?? onlyMissing
    return fault(part, [...path, key], 'unknown', unknownKeyMessage(part, known, probable))
  })
}

function unknownKeyMessage(part: Part, known: readonly string[], probable: string | undefined): string {
  if (part !== 'body' && known.length === 0) return 'must be left out: this request has no query parameters'
  const list = known.join(', ') || 'none'
  const hint = probable === undefined ? '' : `; did you mean ${probable}?`
  return part === 'body'
    ? `is not a field of this request${hint || `; the fields here are: ${list}`}`
    : `is not a parameter of this request${hint}${hint ? ' The' : '; the'} parameters are: ${list}`
}

// The number of characters of a field or parameter name that an answer repeats, so that the size of the answer is
// bounded.
const maxNameLength = 40

function fault(part: Part, path: readonly PropertyKey[], code: FaultCode, message: string): Fault {
  const names = path.map((name) => excerpt(String(name), maxNameLength))
  // The values of a repeated parameter have the name of the parameter.
  if (part !== 'body') return { parameter: names[0] ?? '', code, message }
  const pointer = names.map((name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
  return { pointer, code, message }
}

type Shape = Readonly<Record<string, z.core.$ZodType>>

/** The fields of the object that a schema describes at a path. */
function shapeAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): Shape {
  const def = schema._zod.def as { shape?: Shape; element?: z.core.$ZodType; innerType?: z.core.$ZodType }
  if (def.innerType) return shapeAt(def.innerType, path)
  const [name, ...rest] = path
  if (name === undefined) return def.shape ?? {}
  const next = def.element ?? def.shape?.[String(name)]
  return next ? shapeAt(next, rest) : {}
}

/** A parameter that accepts several values is a string, and not an array, if the query has it once. */
const pathInQuery = (input: unknown, path: readonly PropertyKey[]): readonly PropertyKey[] =>
  typeof valueAt(input, path.slice(0, 1)) === 'string' ? path.slice(0, 1) : path

// biome-ignore lint/suspicious/noExplicitAny: zod has found each part of the path in the input
const valueAt = (input: any, path: readonly PropertyKey[]): any =>
  path.reduce((value, name) => value?.[name], input)
