import { z } from '@hono/zod-openapi'
import { describe, expect, it } from 'vitest'
import { listedFaults, refusedInput } from '#kernel/errors.ts'
import { faultsOf, type Part } from './input-faults.ts'
import { problemOf } from './problems.ts'
import { createRouter } from './router.ts'

// Sets the messages.
createRouter()

const faults = (schema: z.ZodType, input: unknown, part: Part = 'body') => {
  const { error } = schema.safeParse(input)
  if (!error) throw new Error('nothing was wrong')
  return faultsOf(part, schema, input, error)
}

describe('a field that the request does not have', () => {
  const change = z.strictObject({ change: z.int(), reason: z.string().default('') })

  it('is told which was probably meant: one that is almost it', () => {
    expect(faults(change, { change: 1, raeson: 'x' }).listed).toEqual([
      { pointer: '/raeson', message: 'is not a field of this request; did you mean reason?' },
    ])
  })

  it('is told which was probably meant: the only one that is missing', () => {
    expect(faults(change, { quantity: 5 }).listed).toEqual([
      { pointer: '/change', message: 'is required, and must be an integer' },
      { pointer: '/quantity', message: 'is not a field of this request; did you mean change?' },
    ])
  })

  it('is told which there are, if none can be meant', () => {
    const message = 'is not a field of this request; the fields here are: change, reason'
    expect(faults(change, { change: 1, quantity: 5 }).listed).toEqual([{ pointer: '/quantity', message }])
    expect(faults(change, { quantity: 5, sum: 7 }).listed.slice(1)).toEqual([
      { pointer: '/quantity', message },
      { pointer: '/sum', message },
    ])
  })

  it('is looked for where it stands', () => {
    const line = z.strictObject({ productId: z.string(), quantity: z.int() })
    const schema = z.strictObject({ lines: z.array(line).optional(), other: line.optional() })
    expect(
      faults(schema, { lines: [{ productId: 'x', qty: 1 }], other: { prodId: 'x', quantity: 1 } }).listed,
    ).toEqual(
      expect.arrayContaining([
        { pointer: '/lines/0/qty', message: 'is not a field of this request; did you mean quantity?' },
        { pointer: '/other/prodId', message: 'is not a field of this request; did you mean productId?' },
      ]),
    )
  })
})

it('a parameter that the request does not have is told which there are', () => {
  const query = z.strictObject({ sort: z.string().optional(), limit: z.string().optional() })
  expect(faults(query, { limt: '1', page: '2' }, 'query').listed).toEqual([
    {
      parameter: 'limt',
      message: 'is not a parameter of this request; did you mean limit? The parameters are: sort, limit',
    },
    { parameter: 'page', message: 'is not a parameter of this request; the parameters are: sort, limit' },
  ])
  expect(faults(z.strictObject({}), { page: '2' }, 'query').listed).toEqual([
    { parameter: 'page', message: 'is not a parameter of this request; the parameters are: none' },
  ])
})

describe('however much is wrong', () => {
  const entry = z.strictObject({ a: z.int() })
  const schema = z.strictObject({ a: z.int(), list: z.array(entry) })
  const key = (at: number) => `${'\u0001"\ud800~/é'.repeat(10_000)}${at}`

  it.each<[string, object]>([
    ['unknown fields', Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [key(at), 1]))],
    ['wrong entries', { a: 1, list: Array(5_000).fill('x') }],
    ['wrong fields', { a: 1, list: Array(5_000).fill({ a: 'x'.repeat(100), [key(0)]: 1 }) }],
    ['unknown fields in entries', { a: 1, list: Array(5_000).fill({ [key(1)]: 1, [key(2)]: 2 }) }],
  ])('20 faults are listed, and how many there were: %s', (_, input) => {
    const { listed, count } = faults(schema, input)
    expect(count).toBeGreaterThanOrEqual(5_000)
    const problem = problemOf(refusedInput(listed, count))
    expect(problem).toMatchObject({ errorCount: count })
    expect(problem.errors).toHaveLength(listedFaults)
    expect(Buffer.byteLength(JSON.stringify(problem))).toBeLessThan(15_000)
  })

  it('no count is needed where all are listed', () => {
    const { listed, count } = faults(schema, {})
    expect(problemOf(refusedInput(listed, count))).not.toHaveProperty('errorCount')
  })
})
