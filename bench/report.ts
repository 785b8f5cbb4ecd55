import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { drawCharts } from './chart.ts'
import type { RunOptions } from './context.ts'
import type { Scenario, ScenarioResult } from './scenario.ts'
import { formatFactor, markdownTable } from './tables.ts'

export interface CompletedScenario {
  scenario: Scenario
  result: ScenarioResult
}

/** Writes performance.md and performance.svg into the folder, and replaces existing ones. */
export async function writeReport(
  folder: string,
  completed: readonly CompletedScenario[],
  machine: string[][],
  options: RunOptions,
): Promise<void> {
  const charts = completed.flatMap(({ result }) => result.charts ?? [])
  const description = charts
    .map(({ title, unit, bars }) => {
      const values = bars.map(({ label, value }) => `${label} ${Math.round(value).toLocaleString('en')}`)
      return `${title}, ${unit}: ${values.join(', ')}.`
    })
    .join(' ')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'performance.svg'), drawCharts('Trivet and its peers', description, charts))
  await writeFile(join(folder, 'performance.md'), report(completed, machine, options))
}

export const ratioTable = (completed: readonly CompletedScenario[]) => ({
  title: 'Ratios',
  head: ['', 'ratio (min–max)'],
  rows: completed.flatMap(({ result }) =>
    result.ratios.map(({ label, ratio }) => [label, formatFactor(ratio)]),
  ),
})

export const targetTable = (completed: readonly CompletedScenario[]) => ({
  title: 'Targets',
  head: ['', 'target', 'measured', ''],
  rows: completed.flatMap(({ result }) =>
    result.targets.map(({ label, target, measured, met }) => [
      label,
      target,
      measured,
      met ? 'met' : 'NOT met',
    ]),
  ),
})

const report = (
  completed: readonly CompletedScenario[],
  machine: string[][],
  options: RunOptions,
) => `# Performance

<!-- \`npm run bench\` writes this whole file, and overwrites edits. The text is in bench/report.ts and bench/scenarios. -->

Measured on ${new Date().toISOString().slice(0, 10)}. The load generator, the programs and MongoDB ran on one machine, so that you
can repeat the measurement on a laptop. They therefore competed for its cores. **Read the ratios first**: they compare
programs under the same conditions. The absolute numbers depend on the machine. **CPU time** is that of the program and of MongoDB
together, from the accounting of the operating system (on Linux), divided by the number of requests that were not refused. It depends
less than a rate on what else the machine does, so that most targets are set for it. It contains what MongoDB does by itself.

![Requests per second of Trivet and its peers](performance.svg)

## Ratios

A ratio compares two measurements of the same round, which follow each other. The table shows the median of the rounds, and
the minimum and the maximum.

${markdownTable(ratioTable(completed))}

## Targets

A target is met if the median of the rounds meets it. The table includes the targets that are not met.

${markdownTable(targetTable(completed))}

## What is compared, and how

The peers are small programs in [bench/peers](../bench/peers). Each is as fast as its approach allows:

| peer | approach |
| --- | --- |
| [hand-written](../bench/peers/hand-written.ts) | \`node:http\` and the MongoDB driver, one query per request and nothing else; about as fast as a program with one query per request can be |
| [Express with mongoose](../bench/peers/express-mongoose.ts) | Express 5 and mongoose documents |
| [transaction per order](../bench/peers/transaction-per-order.ts) | Express 5 and \`session.withTransaction\`: a conditional update for each line, then the order |
| [version and retry](../bench/peers/version-retry.ts) | Express 5 without a transaction: it reads a product and updates it if its version is unchanged, in up to 100 attempts with random delays; then it inserts the order |

- **The peers do less.** Trivet checks ids, bodies and tokens. It gives each request an id, a deadline and a log line (in a
  file here), sends security headers, and makes orders idempotent. The peers do none of this.
- **The guarantees of MongoDB are the same.** All programs write with \`w: majority, j: true\`, read with \`majority\`, and use
  100 connections.
- **The data is the same.** The documents and ids are equal. Programs that only read share one collection. Programs that
  write have one each. The requests are equal to the byte, except for random choices.
- Each program is a process of its own with default settings. The exceptions are the limits on registrations and sign-ins
  from one address, and \`BCRYPT_COST\`, which is low unless sign-ins are measured.
- [wrk](https://github.com/wg/wrk) generates the load with [bench/load.lua](../bench/load.lua). Each connection sends its next
  request when the last one is answered. wrk corrects its percentiles for coordinated omission. An unexpected response ends
  the scenario.
- The programs that are compared run at the same time, and are measured in turn, A B A B A B. Each has a warm-up of
  ${options.warmUpSeconds} s, then ${options.rounds} rounds of ${options.seconds} s. Each measurement begins when MongoDB is idle.

Each figure below is the median of the rounds, with the minimum and the maximum in brackets. "slowest" is the slowest response
of all rounds. "round trips" are the commands that MongoDB received, and "journal waits" the writes that waited until they were durable,
both per request, from \`serverStatus\`.

${completed.map(section).join('\n')}
## The machine

${markdownTable({ head: ['', ''], rows: machine })}

## Measure it yourself

\`\`\`sh
npm run bench                        # all scenarios, in some twelve minutes; writes this file
npm run bench -- reads orders        # some scenarios; only prints
npm run bench -- --quick             # shows in a few minutes that everything works; its numbers are too rough to compare
\`\`\`

It needs wrk (\`apt install wrk\`, \`brew install wrk\`) and an otherwise idle machine. It starts the embedded MongoDB in a
temporary folder. \`TMPDIR\` sets the place of this folder: it must be on a disk, because the journal costs nothing in memory.
\`TRIVET_BENCH_MONGODB_URI\` names another replica set to use. The databases that are created there begin with \`bench_\`, and are
dropped at the end.
`

function section({ scenario, result }: CompletedScenario): string {
  const tables = result.tables.map((table) => `${table.title}:\n\n${markdownTable(table)}\n`)
  const notes = result.notes.length === 0 ? '' : `\n${result.notes.map((note) => `- ${note}`).join('\n')}\n`
  return `### ${scenario.title}\n\n${scenario.about}\n\n${tables.join('\n')}${notes}`
}
