import { beforeAll, expect, it } from 'vitest'
import type { Answer, Json } from '#test/support/client.ts'
import {
  type Operation,
  resolved,
  schemasInBody,
  valueAt,
  withValue,
} from '#test/support/openapi-operations.ts'
import type { Deployment } from '#test/support/processes.ts'
import type { ValidRequest } from '#test/support/valid-requests.ts'
import { type DescribedApi, describeApi } from './described-api.ts'

/** A value at or beyond a bound that a schema states, and the code of the fault if the value is refused. */
interface BoundaryValue {
  value: Json
  code: 'min' | 'max' | 'format'
  isValid: boolean
}

/** The boundary values of a schema. @param valid a value that the server accepts, to make texts and lists of */
function boundaryValues(schema: Json, valid: Json): BoundaryValue[] {
  const step = schema.type === 'integer' ? 1 : 0.01
  const around = (
    code: 'min' | 'max',
    bound: number | undefined,
    difference: number,
    make: (size: number) => Json,
  ) =>
    bound === undefined
      ? []
      : [
          { value: make(bound), code, isValid: true },
          { value: make(bound + difference), code, isValid: false },
        ]
  const text = (length: number) =>
    String(valid)
      .padStart(length, 'x')
      .slice(-length || length + 1e9)
  const list = (length: number) => Array(length).fill(valid?.[0])
  return [
    ...around('min', schema.minimum, -step, Number),
    ...around('max', schema.maximum, step, Number),
    ...around('min', schema.minLength || undefined, -1, text),
    ...around('max', schema.maxLength, 1, text),
    ...around('min', schema.minItems, -1, list),
    ...around('max', schema.maxItems, 1, list),
    ...(schema.enum ?? []).map((value: Json) => ({ value, code: 'format', isValid: true })),
    ...(schema.enum ? [{ value: 'no-such-value', code: 'format' as const, isValid: false }] : []),
  ]
}

/** The codes of the faults that an answer names at a place. */
const codesAt = ({ body }: Answer, place: string): string[] =>
  (body?.errors ?? [])
    .filter((fault: Json) => (fault.pointer ?? fault.parameter) === place)
    .map((fault: Json) => fault.code)

/** Every bound and every default that the OpenAPI document states is what the server does. */
export function boundsSuite(deployment: () => Deployment, extent: { oneOfEachModule: boolean }) {
  let api: DescribedApi
  beforeAll(async () => {
    api = await describeApi(deployment(), extent)
  })

  const expectBounds = async (
    operation: Operation,
    place: string,
    values: BoundaryValue[],
    send: (value: Json) => Promise<Answer>,
  ) => {
    for (const { value, code, isValid } of values) {
      const answer = await send(value)
      const label = `${operation.name} ${place} ${JSON.stringify(value).slice(0, 60)}: ${JSON.stringify(answer.body).slice(0, 300)}`
      if (isValid) {
        expect(codesAt(answer, place), label).not.toContain(code)
        expect(answer.status, label).toBeLessThan(500)
      } else expect(codesAt(answer, place), label).toContain(code)
    }
    return values.length
  }

  /** Returns a function that sends a valid request of the operation with a change, and makes a new one when the last one was carried out. */
  const sender = async (operation: Operation) => {
    let valid = await api.make(operation)
    return {
      valid,
      async send(change: (valid: ValidRequest) => ValidRequest, headers?: Record<string, string>) {
        const answer = await api.ask(operation, change(valid), headers)
        if (answer.status < 400 && operation.method !== 'GET') valid = await api.make(operation)
        return answer
      },
    }
  }

  it('every bound of a body in the document is the bound of the server', { timeout: 60_000 }, async () => {
    let checked = 0
    await api.forEachOperation(
      ({ requestBody }) => requestBody !== undefined,
      async (operation) => {
        const { valid, send } = await sender(operation)
        for (const [pointer, schema] of schemasInBody(api.document, operation)) {
          const values = boundaryValues(schema, valueAt(valid.body, pointer))
          checked += await expectBounds(operation, pointer, values, (value) =>
            send((request) => ({ ...request, body: withValue(request.body, pointer, value) })),
          )
        }
      },
    )
    expect(checked).toBeGreaterThan(extent.oneOfEachModule ? 20 : 50)
  })

  it('every bound of a parameter in the document is the bound of the server', {
    timeout: 60_000,
  }, async () => {
    let checked = 0
    await api.forEachOperation(
      ({ parameters = [] }) => parameters.length > 0,
      async (operation) => {
        const { send } = await sender(operation)
        for (const { name, in: where, schema: described } of operation.parameters ?? []) {
          if (where === 'path') continue
          const schema = resolved(api.document, described)
          checked += await expectBounds(operation, name, boundaryValues(schema, 'x'), (value) =>
            where === 'header'
              ? send((request) => request, { [name]: value })
              : send(({ path, ...rest }) => ({
                  ...rest,
                  path: `${path}?${name}=${encodeURIComponent(value)}`,
                })),
          )
        }
      },
    )
    expect(checked).toBeGreaterThan(extent.oneOfEachModule ? 2 : 20)
  })

  it('every default of a parameter in the document is what the server uses', async () => {
    let checked = 0
    for (const operation of api.operations) {
      for (const { name, schema: described } of operation.parameters ?? []) {
        const schema = resolved(api.document, described)
        if (schema.default === undefined) continue
        const valid = await api.make(operation)
        const without = await api.ask(operation, valid)
        const given = await api.ask(operation, { ...valid, path: `${valid.path}?${name}=${schema.default}` })
        expect(given.body, `${operation.name} ${name}`).toEqual(without.body)
        checked += 1
      }
    }
    expect(checked).toBeGreaterThanOrEqual(3)
    const page = await api.shop.get('/products')
    expect(page.body.data).toHaveLength(20)
    expect(page.body.nextCursor).not.toBeNull()
  })

  it('every default of a field in the document is what the server stores', async () => {
    const compared: string[] = []
    for (const operation of api.operations) {
      for (const [pointer, schema] of schemasInBody(api.document, operation)) {
        if (schema.default === undefined) continue
        const { path, body } = await api.make(operation)
        const { [pointer.slice(1)]: _left, ...without } = body as Json
        const stored = valueAt((await api.ask(operation, { path, body: without })).body, pointer)
        if (stored === undefined) continue
        expect(stored, `${operation.name} ${pointer}`).toEqual(schema.default)
        compared.push(`${operation.name} ${pointer}`)
      }
    }
    expect(compared).toContain('POST /products /description')
  })
}
