import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchContext } from '../context.ts'
import { cpuMicrosOf } from '../cost.ts'
import { writeBuyerTokens } from '../customers.ts'
import { type Program, startTrivet } from '../programs.ts'
import { below, type Scenario } from '../scenario.ts'
import { catalogueSize, startShop } from '../shop.ts'
import { summarize } from '../statistics.ts'
import { formatTimes } from '../tables.ts'
import { measureLoad } from '../wrk.ts'

const starts = 5
const idleAfterSeconds = 3
const afterLoadSeconds = 10

export const startup: Scenario = {
  name: 'startup',
  title: 'Start and memory',
  about: `The start-up time is from the start of the process to its first \`GET /readyz\` that answers 200. The benchmark sends
this request every 5 ms. MongoDB is running, and there is nothing to migrate. The first start is not counted. The memory is
the resident memory of one process with all modules, as \`ps\` reports it.`,
  async run(context) {
    const { database, program: firstProgram } = await startShop(context, 'startup')
    await firstProgram.stop()
    const readyAfterMs: number[] = []
    const cpuMs: number[] = []
    const idleMegabytes: number[] = []
    const start = async (): Promise<Program> => {
      const program = await startTrivet(context, database)
      readyAfterMs.push(program.readyAfterMs)
      cpuMs.push((await cpuMicrosOf(program.pid)) / 1_000)
      context.log(
        `  start ${readyAfterMs.length} of ${starts}: ready after ${Math.round(program.readyAfterMs)} ms`,
      )
      await sleep(idleAfterSeconds * 1_000)
      idleMegabytes.push(residentMegabytes(program))
      return program
    }
    while (readyAfterMs.length < starts - 1) await (await start()).stop()
    const memoryRows = await measureMemoryUnderLoad(context, await start())

    const ready = summarize(readyAfterMs)
    const idle = summarize(idleMegabytes)
    return {
      ratios: [],
      targets: [
        below('From start to ready', 1_000, 'ms', ready, formatTimes),
        below('Resident memory when idle', 150, 'MB', idle, formatTimes),
      ],
      tables: [
        {
          title: 'Start and resident memory',
          head: ['', 'measured'],
          rows: [
            [`from start to ready, ms (${starts} starts)`, formatTimes(ready)],
            [`CPU time of the program until then, ms (${starts} starts)`, formatTimes(summarize(cpuMs))],
            [`idle, ${idleAfterSeconds} s later, MB (${starts} starts)`, formatTimes(idle)],
            ...memoryRows,
          ],
        },
      ],
      notes: [],
    }
  },
}

/** @returns rows of a table */
async function measureMemoryUnderLoad(context: BenchContext, program: Program): Promise<string[][]> {
  const tokens = await writeBuyerTokens(context, program.url)
  const seconds = 2 * context.options.seconds
  const load = { connections: 64, seconds }
  await measureLoad(program.url, { workload: 'product', products: catalogueSize }, load)
  const afterReads = residentMegabytes(program)
  await measureLoad(program.url, { workload: 'order', products: catalogueSize, tokens }, load)
  const afterOrders = residentMegabytes(program)
  await sleep(afterLoadSeconds * 1_000)
  return [
    [`after ${seconds} s of reads over 64 connections, MB`, afterReads.toFixed(0)],
    [`after ${seconds} s more of orders over 64 connections, MB`, afterOrders.toFixed(0)],
    [`idle again, ${afterLoadSeconds} s later, MB`, residentMegabytes(program).toFixed(0)],
  ]
}

/** Megabytes of 10⁶ bytes. `ps` reports KiB. */
const residentMegabytes = ({ pid }: Program): number =>
  (Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) * 1_024) / 1e6
