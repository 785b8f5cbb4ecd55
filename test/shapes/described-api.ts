import { expect } from 'vitest'
import { faultCodes } from '#kernel/errors.ts'
import type { Answer, Json } from '#test/support/client.ts'
import { type Operation, operationsOf } from '#test/support/openapi-operations.ts'
import type { Deployment, Shape } from '#test/support/processes.ts'
import { storedHashes } from '#test/support/stored-documents.ts'
import {
  createPeople,
  type OperationName,
  type ValidRequest,
  validRequests,
} from '#test/support/valid-requests.ts'

/** Values that a document database could take for an operator instead of a value. */
export const operators: unknown[] = [
  { $gt: '' },
  { $ne: null },
  { $where: '1' },
  { $regex: '.*' },
  { 'a.b': 1 },
  JSON.parse('{"__proto__":{"role":"admin"}}'),
  ['x'],
  [{ $gt: '' }],
]

/** Names of fields that no request has. */
export const unknownFields = [
  'unknown',
  'role',
  '_id',
  '$where',
  '$set',
  'a.b',
  '',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
]

/**
 * How many operations a test of input tries in a shape. The modules check requests in the same way in both shapes, so in the
 * split shape one operation of each module shows that the gateway passes the requests on. With EVERY_OPERATION
 * (`npm run test:contract`) a test tries every operation there too.
 */
export const extentFor = (shape: Shape) => ({
  oneOfEachModule: shape === 'split' && process.env.EVERY_OPERATION === undefined,
})

/** A deployment, its users, and the operations that its OpenAPI document describes. */
export type DescribedApi = Awaited<ReturnType<typeof describeApi>>

/**
 * @param oneOfEachModule whether `forEachOperation` does its work only for the first matching operation of each module
 */
export async function describeApi(shop: Deployment, { oneOfEachModule = false } = {}) {
  const people = await createPeople(shop)
  const document: Json = (await shop.get('/openapi.json')).body
  const operations = operationsOf(document)
  return {
    shop,
    people,
    document,
    operations,

    /** Makes a valid request of an admin. */
    make: async ({ name }: Operation): Promise<ValidRequest> =>
      validRequests[name as OperationName](shop, people, people.boss),

    /** Sends a request of an admin. */
    ask: ({ method }: Operation, { path, body }: ValidRequest, headers: Record<string, string> = {}) =>
      shop.request(method, path, { token: people.boss.token, body, headers }),

    /** Does the work for each operation that matches, one after the other. At least one must match. */
    async forEachOperation(
      matches: (operation: Operation) => boolean,
      work: (operation: Operation) => Promise<void>,
    ) {
      const matching = operations.filter(matches)
      expect(matching.length).toBeGreaterThan(0)
      const modules = Object.values(Object.groupBy(matching, ({ tags }) => String(tags)))
      const chosen = oneOfEachModule ? modules.flatMap((each) => each?.slice(0, 1) ?? []) : matching
      for (const operation of chosen) await work(operation)
    },

    /** Does the work and expects that it changes no document in the databases. */
    async expectNoChange(label: string, work: () => Promise<void>) {
      const before = await storedHashes(shop)
      await work()
      expect(await storedHashes(shop), label).toEqual(before)
    },
  }
}

/** Expects that validation refuses the request, and that an error names this part of it. */
export function expectRefused({ status, body }: Answer, part: RegExp, label: string) {
  expect({ status, code: body.code }, label).toEqual({ status: 400, code: 'validation_failed' })
  const named = body.errors.map((fault: Record<string, string>) => fault.pointer ?? fault.parameter)
  expect(named, label).toContainEqual(expect.stringMatching(part))
  for (const { code, message } of body.errors) {
    expect(faultCodes, label).toContain(code)
    expect(message, label).toMatch(/^(must |is required, and must |is not a (field|parameter) of )/)
  }
}

export const escapeRegExp = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
