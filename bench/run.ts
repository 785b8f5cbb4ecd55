import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type BenchContext, openContext, type RunOptions } from './context.ts'
import { describeMachine } from './machine.ts'
import { type CompletedScenario, ratioTable, targetTable, writeReport } from './report.ts'
import type { Scenario } from './scenario.ts'
import { growth } from './scenarios/growth.ts'
import { list } from './scenarios/list.ts'
import { logins } from './scenarios/logins.ts'
import { mixed } from './scenarios/mixed.ts'
import { orders } from './scenarios/orders.ts'
import { reads } from './scenarios/reads.ts'
import { replicas } from './scenarios/replicas.ts'
import { split } from './scenarios/split.ts'
import { startup } from './scenarios/startup.ts'
import { plainTable } from './tables.ts'
import { wrkVersion } from './wrk.ts'

const scenarios: readonly Scenario[] = [reads, list, mixed, orders, logins, split, replicas, startup, growth]

const usage = `Usage: npm run bench -- [SCENARIO...] [--quick] [--rounds N] [--seconds N] [--report FOLDER]

Compares Trivet with its peers under load from wrk. Without SCENARIO it runs all scenarios:

${scenarios.map(({ name, title }) => `  ${name.padEnd(10)} ${title}`).join('\n')}

  --quick           short runs that only show that everything works; their numbers are too rough to compare
  --rounds N        the number of measurements of each program (default 3, or 1 with --quick)
  --seconds N       the duration of one measurement (default 2, or 1 with --quick)
  --report FOLDER   where to write performance.md and performance.svg; a run of all scenarios without --quick writes
                    them into docs/ by default

TRIVET_BENCH_MONGODB_URI names a MongoDB to use instead of the embedded one.
Exit status: 0 all scenarios were measured, whatever the results; 1 a scenario failed; 130 interrupted.`

interface CommandLine {
  names: string[]
  options: RunOptions
  reportFolder: string | undefined
  help: boolean
}

function parseCommandLine(): CommandLine {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      report: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const { quick } = values
  return {
    names: positionals,
    options: {
      quick,
      rounds: Number(values.rounds ?? (quick ? 1 : 3)),
      seconds: Number(values.seconds ?? (quick ? 1 : 2)),
      warmUpSeconds: quick ? 1 : 2,
    },
    reportFolder: values.report,
    help: values.help,
  }
}

async function main(): Promise<number> {
  const { names, options, reportFolder, help } = parseCommandLine()
  const unknown = names.filter((name) => !scenarios.some((scenario) => scenario.name === name))
  if (help || unknown.length > 0) {
    console.log(unknown.length > 0 ? `Unknown scenario: ${unknown.join(', ')}\n\n${usage}` : usage)
    return unknown.length > 0 ? 1 : 0
  }
  if (wrkVersion() === undefined) {
    console.error('wrk is not installed: run `apt install wrk` or `brew install wrk`')
    return 1
  }

  const context = await openContext(process.env.TRIVET_BENCH_MONGODB_URI, options)
  const interruption = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      interruption.abort()
      void context.close().finally(() => process.exit(130))
    })
  }
  try {
    console.log(describeRun(options))
    const selected = scenarios.filter(({ name }) => names.length === 0 || names.includes(name))
    const completed = await runScenarios(context, selected, interruption.signal)
    if (interruption.signal.aborted) return 130
    console.log(plainTable(ratioTable(completed)))
    console.log(plainTable(targetTable(completed)))

    const isFullRun = completed.length === scenarios.length && !options.quick
    const folder =
      reportFolder ?? (isFullRun ? fileURLToPath(new URL('../docs', import.meta.url)) : undefined)
    if (folder !== undefined) {
      await writeReport(folder, completed, await describeMachine(context), options)
      console.log(`\nperformance.md and performance.svg are in ${folder}`)
    }
    const failed = selected.filter((scenario) => !completed.some((each) => each.scenario === scenario))
    if (failed.length > 0) console.error(`\nFailed scenarios: ${failed.map(({ name }) => name).join(', ')}`)
    return failed.length > 0 ? 1 : 0
  } finally {
    await context.close()
  }
}

const describeRun = ({ quick, rounds, seconds }: RunOptions): string =>
  [
    `Each program is measured for ${seconds} s in each of ${rounds} round${rounds === 1 ? '' : 's'}.`,
    'A table shows the median of the rounds, and the minimum and the maximum in brackets.',
    ...(quick ? ['This is a quick run: its numbers are too rough to compare.'] : []),
  ].join('\n')

/** Prints the results of each scenario. After a failed scenario the others are measured nevertheless. */
async function runScenarios(
  context: BenchContext,
  selected: readonly Scenario[],
  interruption: AbortSignal,
): Promise<CompletedScenario[]> {
  const completed: CompletedScenario[] = []
  for (const scenario of selected) {
    console.log(`\n${scenario.title} (${scenario.name})`)
    try {
      const result = await context.withCleanup(() => scenario.run(context))
      completed.push({ scenario, result })
      for (const table of result.tables) console.log(plainTable(table))
      for (const note of result.notes) console.log(`\n  ${note}`)
    } catch (error) {
      if (interruption.aborted) break
      console.error(`The scenario ${scenario.name} failed:`, error)
    }
  }
  return completed
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error)
    process.exit(1)
  },
)
