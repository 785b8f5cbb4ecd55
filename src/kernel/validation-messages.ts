import type { z } from '@hono/zod-openapi'

/** The message for input that a schema refuses, if the schema has no message of its own. It says what would be valid. */
export const validationMessage: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type': {
      // zod reports `int` as the expected type only if the input is a number that is not an integer.
      const wanted = types[isInteger(issue) ? 'int' : issue.expected]
      return wanted && `${required(issue)}must be ${wanted}${issue.input === null ? ', not null' : ''}`
    }
    case 'too_small':
      if (issue.minimum === 1 && ['string', 'array'].includes(issue.origin)) return 'must not be empty'
      return `must ${bound(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum)}`
    case 'too_big':
      return `must ${bound(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum)}`
    case 'invalid_value':
      return `${required(issue)}must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`
    case 'invalid_format':
      return formats[issue.format]
    default:
      return undefined
  }
}

const isInteger = ({ inst }: z.core.$ZodRawIssue): boolean =>
  (inst?._zod.def as { format?: string } | undefined)?.format === 'safeint'

const required = ({ input }: { input?: unknown }): string => (input === undefined ? 'is required, and ' : '')

const types: Readonly<Record<string, string>> = {
  array: 'an array',
  boolean: 'a boolean',
  int: 'an integer',
  number: 'a number',
  object: 'an object',
  string: 'a string',
}

const formats: Readonly<Record<string, string>> = {
  datetime: 'must be a time in UTC, such as 2026-11-23T10:15:00.000Z (RFC 3339)',
}

const bound = (origin: string, comparison: string, limit: number | bigint): string => {
  if (origin === 'string') return `have ${comparison} ${limit} characters`
  if (origin === 'array') return `have ${comparison} ${limit} entries`
  return `be ${comparison} ${limit}`
}
