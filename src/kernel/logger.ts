import { constants, fstatSync, openSync, writeSync } from 'node:fs'
import { type DestinationStream, pino } from 'pino'
import { terminalLog } from './terminal-log.ts'

export type Logger = import('pino').Logger

/** Whether a person at a terminal has not said what to show: warnings and errors then, in short. */
export const isBrief = ({ level, human }: { level: string | undefined; human: boolean }): boolean =>
  human && level === undefined

/**
 * JSON lines on standard output, or the `output` that is given, from `info` on unless there is a `level`. A person at a
 * terminal gets warnings and errors in short, or every line of the `level` that is given, coloured where pino-pretty is
 * installed. Into a file descriptor those of 10 milliseconds are written together, and what is left as
 * the process exits; what was said within that time of its being killed is lost.
 */
export async function createLogger(options: {
  level: string | undefined
  human: boolean
  service: string
  output?: number | NodeJS.WritableStream
}): Promise<Logger> {
  // Asking for it makes a pipe one that says that it is full, instead of holding up whoever writes.
  const { service, output = process.stdout.fd } = options
  const brief = isBrief(options)
  const level = options.level ?? (brief ? 'warn' : 'info')
  const settings = { level, base: { service }, serializers: { err: withoutMembers } }
  const plain = () => pino(settings, typeof output === 'number' ? inChunks(output) : output)
  if (brief)
    return pino(settings, terminalLog(output === process.stderr.fd ? process.stderr : process.stdout))
  if (!options.human) return plain()
  const pretty = await import('pino-pretty').then(({ default: make }) => make).catch(() => undefined)
  if (!pretty) return plain()
  return pino(
    settings,
    pretty({
      destination: output,
      sync: true,
      translateTime: 'HH:MM:ss.l',
      singleLine: true,
      ignore: 'service',
      messageFormat: (line, message) =>
        service === 'all' ? String(line[message]) : `${service}: ${String(line[message])}`,
    }),
  )
}

// Characters, and bytes of what is being written. Whoever reads the log and stands still costs lines of it, and not the shop.
const maxBacklogLength = 16 * 1024 * 1024
// Milliseconds. A write for each line would cost as much as the answer that it tells of.
const flushIntervalMs = 10
// Milliseconds until whoever reads has made room.
const retryIntervalMs = 2
// Milliseconds of the process's end for whoever reads slowly: less than a parent waits after DRAIN_TIMEOUT.
const maxExitFlushMs = 800

/**
 * A pipe of our own, where the system can open it anew: whoever shares it may make it hold up whoever writes, as every
 * child does that begins with it.
 */
function unshared(fd: number): number {
  try {
    if (!fstatSync(fd).isFIFO()) return fd
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    return fd
  }
}

/**
 * Lines wait for each other. What cannot be written, since nobody reads or there is no room, is lost. A pipe or a socket
 * holds nobody up; a file or a terminal does for as long as writing takes.
 */
function inChunks(shared: number): DestinationStream {
  const fd = unshared(shared)
  let lines = ''
  let chunk = Buffer.alloc(0)
  let isAwaited = false
  /** @returns whether there is nothing left of it */
  const write = (): boolean => {
    if (chunk.length === 0) {
      chunk = Buffer.from(lines)
      lines = ''
    }
    try {
      while (chunk.length > 0) chunk = chunk.subarray(writeSync(fd, chunk))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false
      chunk = chunk.subarray(chunk.length)
    }
    return lines === ''
  }
  const writeAfter = (milliseconds: number) => {
    isAwaited = true
    setTimeout(() => {
      isAwaited = false
      if (!write()) writeAfter(retryIntervalMs)
    }, milliseconds).unref()
  }
  process.on('exit', () => {
    const end = performance.now() + maxExitFlushMs
    const clock = new Int32Array(new SharedArrayBuffer(4))
    while (!write() && performance.now() < end) Atomics.wait(clock, 0, 0, retryIntervalMs)
  })
  return {
    write(line) {
      if (chunk.length + lines.length > maxBacklogLength) return
      lines += line
      if (!isAwaited) writeAfter(flushIntervalMs)
    },
  }
}

/**
 * What is said of an error, with its causes. Not whatever else it carries: MongoDB's have the values in them that were
 * refused, such as a password's hash.
 */
function withoutMembers(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) }
  const { type, message, stack, code } = pino.stdSerializers.err(error)
  return { type, message, stack, code }
}
