import { describe, expect, it } from 'vitest'
import { deployForFuzzing, runSchemathesis } from './fuzzing/run-schemathesis.ts'

describe('requests that Schemathesis generates from the OpenAPI document', () => {
  it('are answered as the document describes', { timeout: 300_000 }, async () => {
    const deployment = await deployForFuzzing('one process')
    // The requests are the same in each run, so that a failure is due to a change.
    const options = ['--max-examples', '2', '--generation-deterministic']
    const statuses = await runSchemathesis(deployment, 'admin', options)
    expect(statuses.placeOrder?.['201']).toBeGreaterThan(0)
    expect(await deployment.shop.stop()).toBe(0)
  })
})
