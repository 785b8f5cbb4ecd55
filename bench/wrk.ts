import { spawn, spawnSync } from 'node:child_process'
import { randomInt, randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { productIdPrefix } from './seed.ts'

/** What is asked for; load.lua says what each means. */
export type Workload =
  | { workload: 'get'; path: string; token?: string }
  | { workload: 'product'; products: number }
  | { workload: 'order' | 'mixed'; products: number; tokens: string }
  | { workload: 'login'; accounts: string; password: string }

/** What one run of wrk has seen. Latencies are milliseconds. */
export interface Load {
  /** Answers of 2xx, per second. */
  rate: number
  /** Of all answers, as wrk corrects them for coordinated omission. */
  p50: number
  p99: number
  max: number
  /** Answers of other statuses, where those are expected. */
  refused: number
}

const results = z.object({
  microseconds: z.number(),
  requests: z.number(),
  above399: z.number(),
  /** Empty where wrk has not looked at every answer. */
  statuses: z.record(z.string(), z.number()),
  connectErrors: z.number(),
  readErrors: z.number(),
  writeErrors: z.number(),
  timeouts: z.number(),
  p50: z.number(),
  p99: z.number(),
  max: z.number(),
})

const script = fileURLToPath(new URL('load.lua', import.meta.url))
// Longer than any program here takes for an answer: what is slow is measured, and not cut off. Seconds.
const patience = 30

/** @returns its version, or undefined if it is not installed */
export function wrkVersion(): string | undefined {
  const { stdout } = spawnSync('wrk', ['-v'], { encoding: 'utf8' })
  return stdout?.match(/^wrk (\S+)/)?.[1]
}

/**
 * Loads a program for so many seconds: every connection sends its next request once the last is answered.
 * @param expected statuses beside 2xx that are answers and not failures, counted as `refused`
 * @throws Error if anything was answered otherwise, or not at all
 */
export async function load(
  url: string,
  workload: Workload,
  options: { connections: number; seconds: number; expected?: readonly number[] },
): Promise<Load> {
  const { connections, seconds, expected = [] } = options
  // wrk gives each thread the same number of connections, and drops the rest.
  const threads = connections < 64 ? 1 : 2
  const settings = { ...workload, prefix: productIdPrefix, run: randomUUID(), seed: randomInt(1e9) }
  const result = results.parse(
    await run([
      ...[`-t${threads}`, `-c${connections}`, `-d${seconds}s`, '--timeout', `${patience}s`],
      ...['-s', script, url, '--'],
      ...Object.entries(settings).map(([name, value]) => `${name}=${value}`),
    ]),
  )

  const { statuses, requests, above399 } = result
  const counted = Object.keys(statuses).length > 0
  const isGood = (status: string) => status.startsWith('2')
  const isExpected = (status: string) => isGood(status) || expected.includes(Number(status))
  const unexpected = Object.entries(statuses).filter(([status]) => !isExpected(status))
  const broken = {
    ...Object.fromEntries(unexpected.map(([status, count]) => [`status ${status}`, count])),
    ...(!counted && { 'statuses above 399': above399 }),
    'refused connections': result.connectErrors,
    'broken reads': result.readErrors,
    'broken writes': result.writeErrors,
    'late answers': result.timeouts,
  }
  const complaints = Object.entries(broken).filter(([, count]) => count > 0)
  if (complaints.length > 0)
    throw new Error(
      `${workload.workload}: ${complaints.map(([what, count]) => `${count} ${what}`).join(', ')}`,
    )
  if (requests === 0) throw new Error(`${workload.workload}: nothing was answered in ${seconds} s`)

  const good = Object.entries(statuses).reduce(
    (sum, [status, count]) => (isGood(status) ? sum + count : sum),
    0,
  )
  return {
    rate: (counted ? good : requests) / (result.microseconds / 1e6),
    p50: result.p50 / 1e3,
    p99: result.p99 / 1e3,
    max: result.max / 1e3,
    refused: counted ? requests - good : 0,
  }
}

/** @returns what load.lua has printed */
function run(args: string[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const wrk = spawn('wrk', args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let printed = ''
    for (const stream of [wrk.stdout, wrk.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        printed += chunk.toString()
      })
    }
    wrk.once('error', reject)
    wrk.once('close', (code) => {
      const line = printed.split('\n').find((text) => text.startsWith('{'))
      if (code === 0 && line !== undefined) resolve(JSON.parse(line))
      else reject(new Error(`wrk ended with ${code}:\n${printed}`))
    })
  })
}
