import { execFile } from 'node:child_process'
import { Agent, request } from 'node:http'
import { promisify } from 'node:util'
import { percentile } from './buyers.ts'
import { isFull } from './figures.ts'

const sampleEveryMs = 200

/** The memory that processes occupy together (resident set size), in MiB. */
export async function memoryOf(pids: readonly number[]): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', pids.join(',')])
  return stdout.split('\n').reduce((sum, kibibytes) => sum + Number(kibibytes), 0) / 1024
}

/** Measures the memory of processes until it is stopped. `stop` returns the highest value, in MiB. */
export function watchMemory(pids: readonly number[]): { stop(): Promise<number> } {
  let isOver = false
  let peak = 0
  const watching = (async () => {
    while (!isOver) {
      peak = Math.max(peak, await memoryOf(pids))
      await new Promise((resolve) => setTimeout(resolve, sampleEveryMs))
    }
  })()
  return {
    async stop() {
      isOver = true
      await watching
      return peak
    },
  }
}

/** Times of answers in milliseconds, each from the moment for which its request was planned. */
export interface Reads {
  p99: number
  /** Of the reads that did not open a connection. */
  p99OnOpenConnections: number
  slowest: number
  count: number
  /** Requests that failed, or were not answered 200. */
  failed: number
}

// The short form leaves time to the other processes of a busy machine.
const readEveryMs = isFull ? 10 : 50

/** Sends a read at regular times, without waiting for the answers to earlier ones, until it is stopped. */
export function startReads(url: string): { stop(): Promise<Reads> } {
  const agent = new Agent({ keepAlive: true })
  const times: number[] = []
  const timesOnOpenConnections: number[] = []
  const running = new Set<Promise<void>>()
  let failed = 0
  const startedAt = performance.now()
  let planned = 0

  const read = (plannedAt: number) =>
    new Promise<void>((resolve) => {
      const end = (isAnswered: boolean) => {
        const time = performance.now() - plannedAt
        times.push(time)
        if (sent.reusedSocket) timesOnOpenConnections.push(time)
        if (!isAnswered) failed += 1
        resolve()
      }
      const sent = request(url, { agent }, (answer) => {
        answer.resume().once('end', () => end(answer.statusCode === 200))
      })
      sent.once('error', () => end(false))
      sent.end()
    })

  const timer = setInterval(() => {
    for (; startedAt + planned * readEveryMs <= performance.now(); planned++) {
      const each = read(startedAt + planned * readEveryMs)
      running.add(each)
      void each.then(() => running.delete(each))
    }
  }, readEveryMs)

  return {
    async stop() {
      clearInterval(timer)
      await Promise.all(running)
      agent.destroy()
      return {
        p99: percentile(times, 0.99),
        p99OnOpenConnections: percentile(timesOnOpenConnections, 0.99),
        slowest: percentile(times, 1),
        count: times.length,
        failed,
      }
    },
  }
}
