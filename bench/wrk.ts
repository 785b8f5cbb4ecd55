import { spawn, spawnSync } from 'node:child_process'
import { randomInt, randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { productIdPrefix } from './seed.ts'

/** The requests to send. load.lua describes each kind. */
export type Workload =
  | { workload: 'get'; path: string; token?: string }
  | { workload: 'product'; products: number }
  | { workload: 'order' | 'mixed'; products: number; tokens: string }
  | { workload: 'login'; accounts: string; password: string }

/** The result of one run of wrk. Its percentiles are corrected for coordinated omission. */
export interface Sample {
  /** Responses with an expected status. */
  requests: number
  /** Responses with a status of 2xx. */
  perSecond: number
  p50Ms: number
  p99Ms: number
  maxMs: number
  /** The number of responses with another expected status. */
  refused: number
}

// load.lua prints one line of this form. The latencies are in microseconds.
const reportSchema = z.object({
  microseconds: z.number(),
  requests: z.number(),
  above399: z.number(),
  /** Empty for a workload of reads, for which load.lua does not count statuses. */
  statuses: z.record(z.string(), z.number()),
  connectErrors: z.number(),
  readErrors: z.number(),
  writeErrors: z.number(),
  timeouts: z.number(),
  p50: z.number(),
  p99: z.number(),
  max: z.number(),
})
type Report = z.infer<typeof reportSchema>

const script = fileURLToPath(new URL('load.lua', import.meta.url))
// Longer than any response here takes, so that a slow response is measured and not cut off.
const answerTimeoutSeconds = 30

/** @returns the version of the installed wrk, or undefined if wrk is not installed */
export function wrkVersion(): string | undefined {
  const { stdout } = spawnSync('wrk', ['-v'], { encoding: 'utf8' })
  return stdout?.match(/^wrk (\S+)/)?.[1]
}

/**
 * Sends a workload to a program. Each connection sends its next request when the last one is answered.
 * @param expectedStatuses statuses other than 2xx that are not failures; they are counted as `refused`
 * @throws Error if a request fails or gets another status
 */
export async function measureLoad(
  url: string,
  workload: Workload,
  options: { connections: number; seconds: number; expectedStatuses?: readonly number[] },
): Promise<Sample> {
  const { connections, seconds, expectedStatuses = [] } = options
  // wrk gives each thread the same number of connections, and drops the remainder.
  const threads = connections < 64 ? 1 : 2
  const settings = { ...workload, prefix: productIdPrefix, run: randomUUID(), seed: randomInt(1e9) }
  const report = reportSchema.parse(
    await runWrk([
      ...[`-t${threads}`, `-c${connections}`, `-d${seconds}s`, '--timeout', `${answerTimeoutSeconds}s`],
      ...['-s', script, url, '--'],
      ...Object.entries(settings).map(([name, value]) => `${name}=${value}`),
    ]),
  )

  const failures = failuresIn(report, expectedStatuses)
  if (failures.length > 0) throw new Error(`workload ${workload.workload}: ${failures.join(', ')}`)
  if (report.requests === 0) throw new Error(`workload ${workload.workload}: no response within ${seconds} s`)
  return sampleOf(report)
}

const isSuccess = (status: string) => status.startsWith('2')

function failuresIn(report: Report, expectedStatuses: readonly number[]): string[] {
  const { statuses, above399, connectErrors, readErrors, writeErrors, timeouts } = report
  const hasStatuses = Object.keys(statuses).length > 0
  const unexpected = Object.entries(statuses).filter(
    ([status]) => !isSuccess(status) && !expectedStatuses.includes(Number(status)),
  )
  const counts: [string, number][] = [
    ...unexpected.map(([status, count]): [string, number] => [`responses with status ${status}`, count]),
    ['responses with a status above 399', hasStatuses ? 0 : above399],
    ['failed connections', connectErrors],
    ['failed reads', readErrors],
    ['failed writes', writeErrors],
    ['timeouts', timeouts],
  ]
  return counts.filter(([, count]) => count > 0).map(([what, count]) => `${count} ${what}`)
}

function sampleOf({ statuses, requests, microseconds, p50, p99, max }: Report): Sample {
  const counted = Object.entries(statuses)
  const successes =
    counted.length === 0
      ? requests
      : counted.reduce((sum, [status, count]) => (isSuccess(status) ? sum + count : sum), 0)
  return {
    requests,
    perSecond: successes / (microseconds / 1e6),
    p50Ms: p50 / 1e3,
    p99Ms: p99 / 1e3,
    maxMs: max / 1e3,
    refused: requests - successes,
  }
}

/** @returns the JSON that load.lua prints */
function runWrk(args: string[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const wrk = spawn('wrk', args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [wrk.stdout, wrk.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString()
      })
    }
    wrk.once('error', reject)
    wrk.once('close', (code) => {
      const line = output.split('\n').find((text) => text.startsWith('{'))
      if (code === 0 && line !== undefined) resolve(JSON.parse(line))
      else reject(new Error(`wrk ended with exit code ${code}:\n${output}`))
    })
  })
}
