import type { Access, MakeRequest, RouteTests } from './route-tests.ts'

/** The `routes.suite.ts` of each module that has one. The lists of the other modules stand in the tests themselves. */
const ofModules = {} satisfies Record<string, RouteTests>

/** The operations of these modules. */
export type AddedOperation = OperationsOf<(typeof ofModules)[keyof typeof ofModules]>
type OperationsOf<Tests> = Tests extends { requests: infer Requests } ? keyof Requests & string : never

const all: RouteTests[] = Object.values(ofModules)
const joined = <Part extends keyof RouteTests>(part: Part): RouteTests[Part] =>
  Object.assign({}, ...all.map((tests) => tests[part]))

/** What these modules add to the tests that go through all routes. */
export const addedRoutes = {
  requests: joined('requests') as Record<AddedOperation, MakeRequest>,
  access: joined('access') as Record<AddedOperation, Access>,
  scatters: joined('scatters'),
  shardKeys: joined('shardKeys'),
}

/** The same operations as a list. */
export const addedOperations = all.flatMap(({ requests, access }) =>
  Object.entries(requests).map(([name, make]) => {
    const outcomes = access[name]
    if (!outcomes) throw new Error(`a routes.suite.ts has a request for ${name}, and no access`)
    return { name, method: name.split(' ')[0] ?? '', make, access: outcomes }
  }),
)
