import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { buyers } from '../customers.ts'
import { atMost, type Scenario, times } from '../outcome.ts'
import { type Program, startTrivet } from '../programs.ts'
import { catalogue, openShop } from '../shop.ts'
import { spreadOf } from '../spread.ts'
import { load } from '../wrk.ts'

const starts = 5
// Seconds.
const untilIdle = 3
const afterLoad = 10

export const startup: Scenario = {
  name: 'startup',
  title: 'Start and memory',
  about: `From the start of the process to the first \`GET /readyz\` that answers 200, asked every 5 ms, with MongoDB up
and nothing to migrate; not the first start, so what Node.js has compiled is there.
Resident memory of the whole program in one process, as \`ps\` tells it.`,
  async run(stage) {
    const { database, program: first } = await openShop(stage, 'startup')
    await first.stop()
    const readyAfter: number[] = []
    const idle: number[] = []
    const start = async (): Promise<Program> => {
      const program = await startTrivet(stage, database)
      readyAfter.push(program.readyAfter)
      stage.say(`  start ${readyAfter.length}: ready after ${Math.round(program.readyAfter)} ms`)
      await sleep(untilIdle * 1_000)
      idle.push(residentMegabytes(program))
      return program
    }
    while (readyAfter.length < starts - 1) await (await start()).stop()
    const program = await start()

    const tokens = await buyers(stage, program.url)
    const { seconds } = stage.effort
    const connections = { connections: 64, seconds: 2 * seconds }
    await load(program.url, { workload: 'product', products: catalogue }, connections)
    const afterReads = residentMegabytes(program)
    await load(program.url, { workload: 'order', products: catalogue, tokens }, connections)
    const afterOrders = residentMegabytes(program)
    await sleep(afterLoad * 1_000)
    const idleAgain = residentMegabytes(program)

    const memory = (megabytes: number) => megabytes.toFixed(0)
    return {
      ratios: [],
      targets: [
        atMost('From start to ready', 1_000, spreadOf(readyAfter), {
          unit: 'ms',
          strictly: true,
          format: times,
        }),
        atMost('Resident memory when idle', 150, spreadOf(idle), {
          unit: 'MB',
          strictly: true,
          format: times,
        }),
      ],
      tables: [
        {
          title: 'Start and resident memory',
          head: ['', 'measured'],
          rows: [
            [`from start to ready, ms (${starts} starts)`, times(spreadOf(readyAfter))],
            [`idle, ${untilIdle} s after that, MB (${starts} starts)`, times(spreadOf(idle))],
            [`after ${2 * seconds} s of reads over 64 connections, MB`, memory(afterReads)],
            [`after ${2 * seconds} s more of orders over 64 connections, MB`, memory(afterOrders)],
            [`${afterLoad} s later, MB`, memory(idleAgain)],
          ],
        },
      ],
      notes: [],
    }
  },
}

/** Megabytes of 10⁶ bytes; `ps` has KiB. */
const residentMegabytes = ({ pid }: Program): number =>
  (Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) * 1_024) / 1e6
