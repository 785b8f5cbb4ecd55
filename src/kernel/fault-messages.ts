import type { z } from '@hono/zod-openapi'

/** What is said of input that a schema refuses and has no words of its own for: what would be right. */
export const faultMessage: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type': {
      const wanted = types[issue.expected]
      if (wanted === undefined) return undefined
      if (issue.input === undefined) return `is required, and must be ${wanted}`
      // As a query parameter that is repeated is.
      const isOneOfSeveral = Array.isArray(issue.input) && issue.expected !== 'object'
      return isOneOfSeveral ? `must be ${wanted}, and only one` : `must be ${wanted}`
    }
    case 'too_small':
      if (issue.minimum === 1 && ['string', 'array'].includes(issue.origin)) return 'must not be empty'
      return `must ${bound(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum)}`
    case 'too_big':
      return `must ${bound(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum)}`
    case 'invalid_value':
      return issue.values.length === 1
        ? `must be ${String(issue.values[0])}`
        : `must be one of ${issue.values.map(String).join(', ')}`
    case 'invalid_format':
      return formats[issue.format]
    default:
      return undefined
  }
}

const types: Readonly<Record<string, string>> = {
  array: 'an array',
  boolean: 'a boolean',
  int: 'an integer',
  number: 'a number',
  object: 'an object',
  string: 'a string',
}

const formats: Readonly<Record<string, string>> = {
  datetime: 'must be a time as in 2026-11-23T10:15:00.000Z (RFC 3339, UTC)',
  email: 'must be an e-mail address',
}

const bound = (origin: string, comparison: string, limit: number | bigint): string => {
  if (origin === 'string') return `have ${comparison} ${limit} characters`
  if (origin === 'array') return `have ${comparison} ${limit} entries`
  return `be ${comparison} ${limit}`
}
