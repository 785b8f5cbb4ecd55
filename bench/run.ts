import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Result, ratioTable, targetTable, writeDocument } from './document.ts'
import { describeMachine } from './machine.ts'
import { plainTable, type Scenario } from './outcome.ts'
import { growth } from './scenarios/growth.ts'
import { list } from './scenarios/list.ts'
import { logins } from './scenarios/logins.ts'
import { mixed } from './scenarios/mixed.ts'
import { orders } from './scenarios/orders.ts'
import { reads } from './scenarios/reads.ts'
import { replicas } from './scenarios/replicas.ts'
import { split } from './scenarios/split.ts'
import { startup } from './scenarios/startup.ts'
import { type Effort, openStage } from './stage.ts'
import { wrkVersion } from './wrk.ts'

const scenarios: readonly Scenario[] = [reads, list, mixed, orders, logins, split, replicas, startup, growth]

const usage = `npm run bench -- [scenario ...] [--quick] [--rounds 3] [--seconds 2] [--document folder]

Measures Trivet against its peers with wrk; all scenarios (${scenarios.map(({ name }) => name).join(', ')}), or those
that are named.

  --quick      seconds-short runs, that only show that everything works
  --rounds     how often each contender is measured
  --seconds    how long each time
  --document   where to write performance.md and performance.svg, whatever was run; without it, they are written into
               docs/ by a whole run that is not quick

TRIVET_BENCH_MONGODB_URI is a MongoDB to use instead of the embedded one.
Ends with 0 if everything could be measured, whatever it came to, and 1 if not.`

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      document: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  const unknown = positionals.filter((name) => !scenarios.some((scenario) => scenario.name === name))
  if (values.help || unknown.length > 0) {
    console.log(unknown.length > 0 ? `There is no scenario ${unknown.join(', ')}.\n\n${usage}` : usage)
    return unknown.length > 0 ? 1 : 0
  }
  if (wrkVersion() === undefined) {
    console.error('wrk is needed and not installed: `apt install wrk` or `brew install wrk`')
    return 1
  }
  const { quick } = values
  const effort: Effort = {
    quick,
    rounds: Number(values.rounds ?? (quick ? 1 : 3)),
    seconds: Number(values.seconds ?? (quick ? 1 : 2)),
    warmUpSeconds: quick ? 1 : 2,
  }

  const stage = await openStage(process.env.TRIVET_BENCH_MONGODB_URI, effort)
  let interrupted = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      interrupted = true
      void stage.end().finally(() => process.exit(130))
    })
  }
  const chosen = scenarios.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  const results: Result[] = []
  try {
    for (const scenario of chosen) {
      console.log(`\n${scenario.title} (${scenario.name})`)
      try {
        const outcome = await stage.scene(() => scenario.run(stage))
        results.push({ scenario, outcome })
        for (const table of outcome.tables) console.log(plainTable(table))
        for (const note of outcome.notes) console.log(`\n  ${note}`)
      } catch (error) {
        if (interrupted) return 130
        // The others are measured all the same; no document is written without this one.
        console.error(error)
      }
    }
    console.log(plainTable(ratioTable(results)))
    console.log(plainTable(targetTable(results)))

    const whole = results.length === scenarios.length && !quick
    const folder = values.document ?? (whole ? fileURLToPath(new URL('../docs', import.meta.url)) : undefined)
    if (folder !== undefined) {
      await writeDocument(folder, results, await describeMachine(stage), effort)
      console.log(`\nWritten: performance.md and performance.svg`)
    }
    return results.length === chosen.length ? 0 : 1
  } finally {
    await stage.end()
  }
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    process.exit(1)
  },
)
