import { describe, expect, it } from 'vitest'
import type { Shape } from '#test/support/processes.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import { callers, deployForFuzzing, runSchemathesis, type Statuses } from '../fuzzing/run-schemathesis.ts'
import { noPython } from '../python.ts'

if (noPython) console.log(`skipped, requests that Schemathesis generates: ${noPython}`)

const everyRun = (['one process', 'split'] satisfies Shape[]).flatMap((shape) =>
  callers.map((caller) => [shape, caller] as const),
)
const examples = process.env.EXAMPLES ?? '500'

describe.skipIf(noPython)(
  `${examples} requests of each kind that Schemathesis generates per operation`,
  () => {
    it.each(everyRun)('are answered as the document describes: %s, %s', async (shape, caller) => {
      const deployment = await deployForFuzzing(shape)
      const statuses = await runSchemathesis(deployment, caller, ['--max-examples', examples])
      console.log(`${shape}, ${caller}\n${tableOf(statuses)}`)
      const { 201: placed = 0, ...refused } = statuses.placeOrder ?? {}
      const all = Object.values(refused).reduce((sum, count) => sum + count, placed)
      expect(all).toBeGreaterThan(0)
      // Half of the requests are meant to be refused.
      if (caller !== 'anonymous') expect(placed / all).toBeGreaterThan(0.1)
      expect(await findUnbalancedBooks(deployment.shop)).toEqual([])
      expect(await deployment.shop.stop()).toBe(0)
    })
  },
)

const tableOf = (statuses: Statuses) =>
  Object.entries(statuses)
    .map(([operation, counts]) => {
      const each = Object.entries(counts).map(([status, count]) => `${status}: ${count}`)
      return `  ${operation.padEnd(20)} ${each.join(', ')}`
    })
    .join('\n')
