import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Account } from '#test/support/client.ts'
import type { RouteTests } from '#test/support/route-tests.ts'
import { type Shop, startShop } from '#test/support/shop.ts'
import { createPeople } from '#test/support/valid-requests.ts'
import { sampleItemRouteTests } from './routes.suite.ts'

let shop: Shop
let ada: Account
beforeAll(async () => {
  shop = await startShop()
  ada = await shop.customer()
})
afterAll(() => shop.close())

/** What a client sends. */
const draft = { name: 'My first sample item' }

const create = (body: object = draft, token: string | undefined = ada.token) =>
  shop.post('/sample-items', { token, body })

it('a created sample item belongs to the user of the token, and its owner and an admin can read it', async () => {
  const { status, headers, body } = await create()
  const { sampleItemId } = body
  expect({ status, body }).toEqual({
    status: 201,
    body: {
      sampleItemId: expect.stringMatching(/^[0-9a-f]{24}$/),
      userId: ada.userId,
      ...draft,
      createdAt: expect.any(String),
    },
  })
  const path = `/sample-items/${sampleItemId}`
  expect(headers.get('location')).toBe(path)
  for (const token of [ada.token, shop.adminToken])
    expect(await shop.get(path, { token })).toMatchObject({ status: 200, body })
})

it('a sample item of another user is answered as one that does not exist', async () => {
  const { sampleItemId } = (await create()).body
  const grace = await shop.customer()
  for (const [id, token] of [
    [sampleItemId, grace.token],
    ['0123456789abcdef01234567', ada.token],
    ['0123456789abcdef01234567', shop.adminToken],
  ]) {
    expect(await shop.get(`/sample-items/${id}`, { token })).toMatchObject({
      status: 404,
      body: { code: 'sample_item_not_found', detail: `there is no sample item ${id}` },
    })
  }
})

it.each([
  ['no name', { name: undefined }, '/name'],
  ['a name without a visible character', { name: ' ' }, '/name'],
  ['the id of a user', { userId: '0123456789abcdef01234567' }, '/userId'],
])('a new sample item with %s is refused', async (_, change, pointer) => {
  expect(await create({ ...draft, ...change })).toMatchObject({
    status: 400,
    body: { code: 'validation_failed', errors: [{ pointer }] },
  })
})

it('a request for a sample item without an access token is refused', async () => {
  expect(await shop.post('/sample-items', { body: draft })).toMatchObject({
    status: 401,
    body: { code: 'unauthenticated' },
  })
})

const { requests, access }: RouteTests = sampleItemRouteTests

it.each(Object.entries(requests))('routes.suite.ts has a valid request of %s', async (name, makeRequest) => {
  const people = await createPeople(shop)
  const { path, body } = await makeRequest(shop, people, people.ada)
  const [method = ''] = name.split(' ')
  const answer = await shop.request(method, path, { token: people.ada.token, body })
  expect(answer.status, JSON.stringify(answer.body)).toBe(access[name]?.owner)
})
