import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { arbitraryOf, otherTypeThan } from '#test/support/arbitrary-values.ts'
import type { Answer, Json } from '#test/support/client.ts'
import { type Operation, operationsOf, pointersInBody, withValue } from '#test/support/openapi-operations.ts'
import { type Shop, startShop } from '#test/support/shop.ts'
import {
  createPeople,
  type OperationName,
  type People,
  type ValidRequest,
  validRequests,
} from '#test/support/valid-requests.ts'

const runs = { numRuns: 15 }

describe('requests that are generated from the OpenAPI document', () => {
  let shop: Shop
  let people: People
  let document: Json
  let withBody: Operation[]
  beforeAll(async () => {
    shop = await startShop({ environment: { LOGIN_FAILURES_PER_ACCOUNT: '100000/15m' } })
    people = await createPeople(shop)
    document = (await shop.get('/openapi.json')).body
    withBody = operationsOf(document).filter(({ requestBody }) => requestBody !== undefined)
  })
  afterAll(() => shop.close())

  const bodyOf = ({ requestBody }: Operation) =>
    arbitraryOf(document, requestBody.content['application/json'].schema)

  const make = async ({ name }: Operation): Promise<ValidRequest> =>
    validRequests[name as OperationName](shop, people, people.boss)

  const send = ({ method }: Operation, path: string, body: Json): Promise<Answer> =>
    shop.request(method, path, { token: people.boss.token, body })

  /** Returns the body with valid values where the document states a rule only in words. */
  const withRulesInWords = (body: Json, valid: Json): Json => ({
    ...body,
    ...('password' in body && { password: people.ada.password }),
    ...('newPassword' in body && { newPassword: people.ada.password }),
    ...('productId' in body && { productId: valid.productId }),
    ...('currency' in body && { currency: valid.currency }),
    ...('change' in body && { change: body.change % 1_000 || 1 }),
  })

  it('a body that is valid by its schema is never answered with 400 or 5xx', {
    timeout: 120_000,
  }, async () => {
    expect(withBody.length).toBeGreaterThan(8)
    for (const operation of withBody) {
      await fc.assert(
        fc.asyncProperty(bodyOf(operation), async (body) => {
          const { path, body: valid } = await make(operation)
          const { status, body: answer } = await send(operation, path, withRulesInWords(body, valid))
          const label = `${operation.name} ${JSON.stringify(answer)}`
          expect(status, label).not.toBe(400)
          expect(status, label).toBeLessThan(500)
        }),
        runs,
      )
    }
  })

  it('a body with values of wrong types is answered with 400, and each pointer leads to one of them', {
    timeout: 120_000,
  }, async () => {
    for (const operation of withBody) {
      // A refused request changes nothing, so that all of them can have the same path.
      const { path, body: valid } = await make(operation)
      const present = pointersInBody(document, operation).values.filter(
        (pointer) => valueAt(valid, pointer) !== undefined,
      )
      await fc.assert(
        fc.asyncProperty(fc.subarray(present, { minLength: 1 }), fc.gen(), async (pointers, gen) => {
          const body = pointers.reduce(
            (changed, pointer) => withValue(changed, pointer, gen(otherTypeThan, valueAt(valid, pointer))),
            valid,
          )
          const answer = await send(operation, path, body)
          const label = `${operation.name} ${JSON.stringify(body)}`
          expect(answer, label).toMatchObject({ status: 400, body: { code: 'validation_failed' } })
          for (const { pointer, code } of answer.body.errors) {
            // The pointer to a field that is missing leads to its place in an object that exists.
            const existing = code === 'required' ? pointer.replace(/\/[^/]*$/, '') : pointer
            expect(valueAt(body, existing), `${label} ${pointer}`).not.toBeUndefined()
          }
        }),
        runs,
      )
    }
  })
})

/** Returns the value at a JSON pointer, or undefined if the pointer leads nowhere. */
const valueAt = (body: Json, pointer: string): Json =>
  pointer
    .split('/')
    .slice(1)
    .reduce((inside, key) => inside?.[key], body)
