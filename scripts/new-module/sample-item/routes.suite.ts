import { type RouteTests, toOwnerAndAdmins, toUsers } from '#test/support/route-tests.ts'

const draft = { name: 'My first sample item' }

/** What the tests that go through all routes need to know of the routes of this module. */
export const sampleItemRouteTests = {
  requests: {
    'POST /sample-items': () => ({ path: '/sample-items', body: draft }),
    'GET /sample-items/{id}': async (shop, { ada }) => {
      const { status, body } = await shop.post('/sample-items', { token: ada.token, body: draft })
      if (status !== 201) throw new Error(`no sample item: ${JSON.stringify(body)}`)
      return { path: `/sample-items/${body.sampleItemId}` }
    },
  },
  access: {
    'POST /sample-items': toUsers(201),
    'GET /sample-items/{id}': toOwnerAndAdmins(200, 'sample_item_not_found'),
  },
  scatters: { 'GET /sample-items/{id}, by an admin': ['find sampleItems'] },
  shardKeys: { sampleItems: { userId: 1 } },
} satisfies RouteTests
