import { readFile } from 'node:fs/promises'
import type { BenchContext } from './context.ts'
import type { Program } from './programs.ts'

/**
 * What one request that was not refused costs on average, with what MongoDB does by itself in the meantime. CPU time is measured on
 * Linux only, and is NaN elsewhere.
 */
export interface Cost {
  /** The CPU time of the program and of mongod together. It depends less on other work of the machine than a rate. */
  cpuMicros: number
  programMicros: number
  mongodMicros: number
  /** Commands that MongoDB has received. */
  roundTrips: number
  /** Writes that have waited until they were in the journal, and on a majority of the members. */
  journalWaits: number
}

type Total = Omit<Cost, 'cpuMicros'>

/** Measures what a load costs, from now until the returned function is called with the number of requests. */
export async function measureCost(
  context: BenchContext,
  programs: readonly Pick<Program, 'pid'>[],
): Promise<(requests: number) => Promise<Cost>> {
  const before = await totalOf(context, programs)
  return async (requests) => {
    const after = await totalOf(context, programs)
    const perRequest = (key: keyof Total) => (after[key] - before[key]) / requests
    const programMicros = perRequest('programMicros')
    const mongodMicros = perRequest('mongodMicros')
    return {
      cpuMicros: programMicros + mongodMicros,
      programMicros,
      mongodMicros,
      roundTrips: perRequest('roundTrips'),
      journalWaits: perRequest('journalWaits'),
    }
  }
}

async function totalOf(context: BenchContext, programs: readonly Pick<Program, 'pid'>[]): Promise<Total> {
  const times = await Promise.all(programs.map(({ pid }) => cpuMicrosOf(pid)))
  const status = await context.client.db('admin').command({ serverStatus: 1 })
  const { user_time_us: user = Number.NaN, system_time_us: system = Number.NaN } = status.extra_info
  return {
    programMicros: times.reduce((sum, micros) => sum + micros, 0),
    mongodMicros: Number(user) + Number(system),
    roundTrips: Number(status.network.numRequests),
    journalWaits: Number(status.metrics.getLastError.wtime.num),
  }
}

// The unit of times in /proc (proc_pid_stat(5)). It is the same on every common Linux.
const microsPerTick = 10_000

/** The CPU time that a process has used, with all its threads. */
export async function cpuMicrosOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  // The name of the program, in brackets, may contain spaces. The 14th and 15th fields are the user and the system time.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * microsPerTick
}
