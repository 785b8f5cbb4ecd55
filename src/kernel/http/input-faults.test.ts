import { z } from '@hono/zod-openapi'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type FaultCode, faultCodes, listedFaults, refusedInput } from '#kernel/errors.ts'
import { money, text, timestamp } from '#kernel/schemas.ts'
import { validationMessage } from '#kernel/validation-messages.ts'
import { faultsOf, type Part } from './input-faults.ts'
import { problemOf } from './problem-documents.ts'

const faults = (schema: z.ZodType, input: unknown, part: Part = 'body') => {
  const { error } = schema.safeParse(input, { error: validationMessage })
  if (!error) throw new Error('the input is valid')
  return faultsOf(part, schema, input, error)
}

describe('an unknown field', () => {
  const change = z.strictObject({ change: z.int(), reason: z.string().default('') })

  it('the fault of an unknown field suggests a field with a similar name', () => {
    expect(faults(change, { change: 1, raeson: 'x' }).listed).toEqual([
      {
        pointer: '/raeson',
        code: 'unknown',
        message: 'is not a field of this request; did you mean reason?',
      },
    ])
  })

  it('the fault of an unknown field suggests the only missing field', () => {
    expect(faults(change, { quantity: 5 }).listed).toEqual([
      { pointer: '/change', code: 'required', message: 'is required, and must be an integer' },
      {
        pointer: '/quantity',
        code: 'unknown',
        message: 'is not a field of this request; did you mean change?',
      },
    ])
  })

  it('the fault of an unknown field lists all fields if it suggests none', () => {
    const message = 'is not a field of this request; the fields here are: change, reason'
    expect(faults(change, { change: 1, quantity: 5 }).listed).toEqual([
      { pointer: '/quantity', code: 'unknown', message },
    ])
    expect(faults(change, { quantity: 5, sum: 7 }).listed.slice(1)).toEqual([
      { pointer: '/quantity', code: 'unknown', message },
      { pointer: '/sum', code: 'unknown', message },
    ])
  })

  it('an unknown field is compared with the fields of its own object', () => {
    const line = z.strictObject({ productId: z.string(), quantity: z.int() })
    const schema = z.strictObject({ lines: z.array(line).optional(), other: line.optional() })
    expect(
      faults(schema, { lines: [{ productId: 'x', qty: 1 }], other: { prodId: 'x', quantity: 1 } }).listed,
    ).toEqual(
      expect.arrayContaining([
        {
          pointer: '/lines/0/qty',
          code: 'unknown',
          message: 'is not a field of this request; did you mean quantity?',
        },
        {
          pointer: '/other/prodId',
          code: 'unknown',
          message: 'is not a field of this request; did you mean productId?',
        },
      ]),
    )
  })
})

it('the fault of an unknown parameter lists the parameters of the request', () => {
  const query = z.strictObject({ sort: z.string().optional(), limit: z.string().optional() })
  expect(faults(query, { limt: '1', page: '2' }, 'query').listed).toEqual([
    {
      parameter: 'limt',
      code: 'unknown',
      message: 'is not a parameter of this request; did you mean limit? The parameters are: sort, limit',
    },
    {
      parameter: 'page',
      code: 'unknown',
      message: 'is not a parameter of this request; the parameters are: sort, limit',
    },
  ])
  expect(faults(z.strictObject({}), { page: '2' }, 'query').listed).toEqual([
    {
      parameter: 'page',
      code: 'unknown',
      message: 'must be left out: this request has no query parameters',
    },
  ])
})

describe('the code of a fault', () => {
  const schema = z.strictObject({
    count: z.int().min(1).max(9),
    name: text(1, 5),
    kind: z.enum(['cup', 'plate']),
    price: money(100),
    at: timestamp,
    list: z.array(z.string()).min(1).max(2),
  })
  const valid = {
    count: 1,
    name: 'x',
    kind: 'cup',
    price: 1.5,
    at: '2026-11-23T10:15:00.000Z',
    list: ['x'],
  }

  it.each<[FaultCode, keyof typeof valid, unknown[]]>([
    ['required', 'count', [undefined]],
    ['required', 'name', [undefined]],
    ['required', 'kind', [undefined]],
    ['type', 'count', ['1', 1.5, null, {}]],
    ['type', 'name', [1, null, ['x']]],
    ['type', 'kind', [1, null]],
    ['type', 'list', ['x', { 0: 'x' }]],
    ['min', 'count', [0, -5]],
    ['min', 'name', ['']],
    ['min', 'price', [-1]],
    ['min', 'list', [[]]],
    ['max', 'count', [10, 999]],
    ['max', 'name', ['123456', 'x'.repeat(1_000)]],
    ['max', 'price', [101]],
    ['max', 'list', [['a', 'b', 'c']]],
    ['format', 'name', [' ', '\ud800', 'a\0b']],
    ['format', 'kind', ['bowl', '']],
    ['format', 'price', [1.234]],
    ['format', 'at', ['yesterday', '']],
  ])('the code of a fault is %s: %s = %j', (code, field, values) => {
    for (const value of values) {
      const { listed } = faults(schema, { ...valid, [field]: value })
      expect(listed, JSON.stringify(value)).toEqual([
        { pointer: `/${field}`, code, message: expect.any(String) },
      ])
    }
  })

  it('the code of a fault is repeated if a parameter has several values, and rule for a rule over fields', () => {
    const query = z.strictObject({ sort: z.string() })
    expect(faults(query, { sort: ['a', 'b'] }, 'query').listed).toMatchObject([{ code: 'repeated' }])
    const either = z.strictObject({ a: z.int().optional() }).refine(({ a }) => a !== undefined, 'must have a')
    expect(faults(either, {}).listed).toEqual([{ pointer: '', code: 'rule', message: 'must have a' }])
  })

  it('every fault has a code and a message, whatever the input is', () => {
    const fields = Object.entries(valid).map(([name, value]) => [
      name,
      fc.oneof(fc.constant(value), fc.anything()),
    ])
    const anything = fc.oneof(fc.anything(), fc.record(Object.fromEntries(fields)))
    fc.assert(
      fc.property(anything, (input) => {
        const { error } = schema.safeParse(input, { error: validationMessage })
        for (const { code, message } of error ? faultsOf('body', schema, input, error).listed : []) {
          expect(faultCodes).toContain(code)
          expect(message).toMatch(/^(must|is) /)
        }
      }),
    )
  })
})

describe('the size of a refusal', () => {
  const entry = z.strictObject({ a: z.int() })
  const schema = z.strictObject({ a: z.int(), list: z.array(entry) })
  // V8 hashes a longer string by its length only, so that thousands of such names would take minutes to build.
  const key = (at: number) => `${'\u0001"\ud800~/é'.repeat(2_000)}${at}`

  it.each<[string, object]>([
    ['unknown fields', Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [key(at), 1]))],
    ['wrong entries', { a: 1, list: Array(5_000).fill('x') }],
    ['wrong fields', { a: 1, list: Array(5_000).fill({ a: 'x'.repeat(100), [key(0)]: 1 }) }],
    ['unknown fields in entries', { a: 1, list: Array(5_000).fill({ [key(1)]: 1, [key(2)]: 2 }) }],
  ])('a refusal lists 20 faults at most and gives the number of all: %s', (_, input) => {
    const { listed, count } = faults(schema, input)
    expect(count).toBeGreaterThanOrEqual(5_000)
    const problem = problemOf(refusedInput(listed, count))
    expect(problem).toMatchObject({ errorCount: count })
    expect(problem.errors).toHaveLength(listedFaults)
    expect(Buffer.byteLength(JSON.stringify(problem))).toBeLessThan(15_000)
  })

  it('a refusal gives no number if it lists all faults', () => {
    const { listed, count } = faults(schema, {})
    expect(problemOf(refusedInput(listed, count))).not.toHaveProperty('errorCount')
  })
})
