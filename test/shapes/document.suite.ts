import { afterAll, beforeAll, describe, expect } from 'vitest'
import { type Deployment, deploy, type Shape } from '#test/support/processes.ts'
import { boundsSuite } from './bounds.suite.ts'
import { extentFor } from './described-api.ts'
import { examplesSuite } from './examples.suite.ts'

/** What the OpenAPI document says, against the processes of one shape. Each shape has a file, so that both run in parallel. */
export function documentSuite(shape: Shape) {
  describe(`the OpenAPI document, ${shape}`, () => {
    let shop: Deployment
    beforeAll(async () => {
      shop = await deploy(shape, {
        DEMO: 'true',
        REQUEST_TIMEOUT: '20s',
        LOGIN_FAILURES_PER_ACCOUNT: '100000/15m',
      })
    })
    afterAll(async () => {
      expect(await shop.stop()).toBe(0)
    })

    // The examples come first, because they need a new store.
    examplesSuite(() => shop)
    boundsSuite(() => shop, extentFor(shape))
  })
}
