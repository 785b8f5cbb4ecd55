import { afterAll, beforeAll, describe, expect } from 'vitest'
import { accessSuite } from '#test/shapes/access.suite.ts'
import { accountInputSuite } from '#test/shapes/account-input.suite.ts'
import { bodyInputSuite } from '#test/shapes/body-input.suite.ts'
import { cachingSuite } from '#test/shapes/caching.suite.ts'
import { compressionSuite } from '#test/shapes/compression.suite.ts'
import { extentFor } from '#test/shapes/described-api.ts'
import { describedHeadersSuite } from '#test/shapes/described-headers.suite.ts'
import { headerInputSuite } from '#test/shapes/header-input.suite.ts'
import { headersSuite } from '#test/shapes/headers.suite.ts'
import { parameterInputSuite } from '#test/shapes/parameter-input.suite.ts'
import { type Deployment, deploy, type Shape } from '#test/support/processes.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'

/** Attacks that clients can make, against the processes of one shape. Each shape has a file, so that both run in parallel. */
export function hostileClientsSuite(shape: Shape) {
  const extent = extentFor(shape)

  describe(`hostile clients, ${shape}`, () => {
    const internalSecret = 'a secret that only these services know'
    const origins = ['https://shop.example', 'https://admin.shop.example:8080']
    let shop: Deployment
    beforeAll(async () => {
      shop = await deploy(shape, {
        REQUEST_TIMEOUT: '20s',
        INTERNAL_SECRET: internalSecret,
        CORS_ORIGINS: origins.join(', '),
      })
    })
    afterAll(async () => {
      expect(await findUnbalancedBooks(shop)).toEqual([])
      expect(await shop.stop()).toBe(0)
    })

    accessSuite(shape, () => shop, internalSecret)
    describe('input', () => {
      bodyInputSuite(() => shop, extent)
      parameterInputSuite(() => shop, extent)
      headerInputSuite(() => shop)
      if (!extent.oneOfEachModule) accountInputSuite(() => shop)
    })
    headersSuite(() => shop, origins)
    describedHeadersSuite(() => shop)
    cachingSuite(() => shop, 'https://shop.example')
    compressionSuite(() => shop)
  })
}
