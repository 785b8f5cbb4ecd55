import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { drawCharts } from './chart.ts'
import { markdownTable, type Outcome, ratios, type Scenario } from './outcome.ts'
import type { Effort } from './stage.ts'

export interface Result {
  scenario: Scenario
  outcome: Outcome
}

/** Writes performance.md and performance.svg, whole, into the folder. */
export async function writeDocument(
  folder: string,
  results: readonly Result[],
  machine: string[][],
  effort: Effort,
): Promise<void> {
  const charts = results.flatMap(({ outcome }) => outcome.charts ?? [])
  const description = charts
    .map(({ title, unit, bars }) => {
      const values = bars.map(({ label, value }) => `${label} ${Math.round(value).toLocaleString('en')}`)
      return `${title}, ${unit}: ${values.join(', ')}.`
    })
    .join(' ')
  await writeFile(join(folder, 'performance.svg'), drawCharts('Trivet and its peers', description, charts))
  await writeFile(join(folder, 'performance.md'), document(results, machine, effort))
}

export const ratioTable = (results: readonly Result[]) => ({
  title: 'Ratios',
  head: ['', 'ratio (least–most)'],
  rows: results.flatMap(({ outcome }) => outcome.ratios.map(({ what, ratio }) => [what, ratios(ratio)])),
})

export const targetTable = (results: readonly Result[]) => ({
  title: 'Targets',
  head: ['', 'target', 'measured', ''],
  rows: results.flatMap(({ outcome }) =>
    outcome.targets.map(({ what, target, measured, met }) => [
      what,
      target,
      measured,
      met ? 'met' : 'NOT reached',
    ]),
  ),
})

const document = (results: readonly Result[], machine: string[][], effort: Effort) => `# Performance

<!-- Written by \`npm run bench\`, whole: what is changed here is lost. Its text is in bench/document.ts and bench/scenarios. -->

Measured on ${new Date().toISOString().slice(0, 10)}, with the load generator, the programs and MongoDB on one machine. That
is what a laptop can repeat. It also means that they take the cores from each other: **read the ratios**, which compare
programs under the same conditions, before the absolute numbers, which are this machine's.

![Requests per second of Trivet and its peers](performance.svg)

## Ratios

A ratio is taken within each round, of two measurements one after the other. Shown is the median of the rounds, and the least
and the most.

${markdownTable(ratioTable(results))}

## Targets

What it is held to, by the median of the rounds. What is not reached is shown as well.

${markdownTable(targetTable(results))}

## What is compared, and how

The peers are small programs in [bench/peers](../bench/peers), each as good as it can be at what it is:

| peer | what it is |
| --- | --- |
| [hand-written](../bench/peers/hand-written.ts) | \`node:http\` and the MongoDB driver, one query per request and nothing else: about as fast as a program is that answers each request by itself |
| [Express, mongoose](../bench/peers/express-mongoose.ts) | Express 5 and mongoose documents |
| [transaction per order](../bench/peers/transaction-per-order.ts) | Express 5 and \`session.withTransaction\`, a conditional update for each line, then the order |
| [version and retry](../bench/peers/version-retry.ts) | Express 5; reads a product, writes it where its version is unchanged, up to 100 times with random waits in between; then the order, without a transaction |

- **They do less.** Trivet checks ids, bodies and tokens, gives each request an id, a deadline and a line in the log (a
  file here), answers with security headers, and makes orders idempotent. The peers do none of that.
- **They promise the same to MongoDB**: writes are \`w: majority, j: true\`, reads \`majority\`, 100 connections.
- **They have the same data**: the same documents with the same ids, in the same collection where they only read, in
  one of their own where they write. Requests are the same to the byte, but for random choices.
- Each program is a process of its own, with default settings, but for limits on how many may register and sign in from one
  address, and for \`BCRYPT_COST\`, which is low where sign-ins are not measured.
- [wrk](https://github.com/wg/wrk) sends [bench/load.lua](../bench/load.lua): every connection its next request when the last
  one is answered. Its percentiles are corrected for coordinated omission. An answer that nobody expects ends the run.
- The contenders of a comparison run side by side and are measured in turn, A B A B A B: ${effort.warmUpSeconds} s each to
  warm up, then ${effort.rounds} rounds of ${effort.seconds} s each, once MongoDB has nothing left of the one before.

Every figure below is the median of the rounds, with the least and the most in brackets; the slowest answer is of all rounds.

${results.map(section).join('\n')}
## The machine

${markdownTable({ head: ['', ''], rows: machine })}

## Measure it yourself

\`\`\`sh
npm run bench                        # all of it, some twelve minutes; writes this document
npm run bench -- reads orders        # some of it; only prints
npm run bench -- --quick             # whether it works, in a few minutes; its numbers mean nothing
\`\`\`

It needs wrk (\`apt install wrk\`, \`brew install wrk\`), and a machine that does nothing else. MongoDB is the embedded one, in a
temporary folder (\`TMPDIR\` says where: on a disk, or the journal costs nothing), unless \`TRIVET_BENCH_MONGODB_URI\` names
another replica set. In that, databases are made that begin with \`bench_\`, and dropped in the end.
`

function section({ scenario, outcome }: Result): string {
  const tables = outcome.tables.map((table) => `${table.title}:\n\n${markdownTable(table)}\n`)
  const notes = outcome.notes.length === 0 ? '' : `\n${outcome.notes.map((note) => `- ${note}`).join('\n')}\n`
  return `### ${scenario.title}\n\n${scenario.about}\n\n${tables.join('\n')}${notes}`
}
