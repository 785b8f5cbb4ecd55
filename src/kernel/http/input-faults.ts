import type { z } from '@hono/zod-openapi'
import { excerpt, type Fault, listedFaults } from '#kernel/errors.ts'
import { nearestName } from '#kernel/nearest-name.ts'

/** Which part of a request was checked. */
export type Part = 'body' | 'path' | 'query' | 'header'

/** Faults as they are listed, and how many there were. */
export interface Faults {
  listed: Fault[]
  count: number
}

/** What a schema found wrong with a part of a request. What is not listed costs next to nothing. */
export function faultsOf(part: Part, schema: z.ZodType, input: unknown, error: z.ZodError): Faults {
  const listed = error.issues
    .slice(0, listedFaults)
    .flatMap((issue) => {
      if (issue.code === 'unrecognized_keys') return unknownKeys(part, schema, input, issue)
      const isRepeated = part === 'query' && Array.isArray(valueAt(input, issue.path))
      return [fault(part, issue.path, isRepeated ? 'must be given only once' : issue.message)]
    })
    .slice(0, listedFaults)
  const count = error.issues.reduce(
    (sum, issue) => sum + (issue.code === 'unrecognized_keys' ? issue.keys.length : 1),
    0,
  )
  return { listed, count }
}

function unknownKeys(
  part: Part,
  schema: z.ZodType,
  input: unknown,
  { path, keys }: z.core.$ZodIssueUnrecognizedKeys,
): Fault[] {
  const shape = shapeAt(schema, path)
  const known = Object.keys(shape)
  const given = valueAt(input, path)
  const missing = known.filter((name) => shape[name]?._zod.optin === undefined && !Object.hasOwn(given, name))
  // A name that is nothing like the one field that is missing still stands for it, if it is the only one too many.
  const instead = keys.length === 1 && missing.length === 1 ? missing[0] : undefined
  return keys.slice(0, listedFaults).map((key) => {
    const meant = nearestName(key, known) ?? instead
    const list = known.join(', ') || 'none'
    const hint = meant === undefined ? '' : `; did you mean ${meant}?`
    const message =
      part === 'body'
        ? `is not a field of this request${hint || `; the fields here are: ${list}`}`
        : `is not a parameter of this request${hint}${hint ? ' The' : '; the'} parameters are: ${list}`
    return fault(part, [...path, key], message)
  })
}

// The answer repeats so many characters of a name in a pointer or a parameter at most.
const namedCharacters = 40

function fault(part: Part, path: readonly PropertyKey[], message: string): Fault {
  const names = path.map((name) => excerpt(String(name), namedCharacters))
  if (part !== 'body') return { parameter: names.join('.'), message }
  const pointer = names.map((name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
  return { pointer, message }
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

// biome-ignore lint/suspicious/noExplicitAny: a path that zod has gone leads somewhere
const valueAt = (input: any, path: readonly PropertyKey[]): any =>
  path.reduce((value, name) => value?.[name], input)
