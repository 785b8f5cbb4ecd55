import { afterAll, beforeAll, describe, expect } from 'vitest'
import { accessSuite } from '#test/shapes/access.suite.ts'
import { headersSuite } from '#test/shapes/headers.suite.ts'
import { inputSuite } from '#test/shapes/input.suite.ts'
import { type Deployment, deploy, type Shape, shapes } from '#test/support/processes.ts'
import { stockInvariantViolations } from '#test/support/stock-invariant.ts'

// What clients can do that mean no good: the same of real processes in both shapes.
describe.each(Object.keys(shapes) as Shape[])('hostile clients, %s', (shape) => {
  const internalSecret = 'a secret of these services and nobody else'
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
    expect(await stockInvariantViolations(shop)).toEqual([])
    expect(await shop.stop()).toBe(0)
  })

  accessSuite(shape, () => shop, internalSecret)
  inputSuite(() => shop)
  headersSuite(() => shop, origins)
})
