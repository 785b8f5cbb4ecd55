import { writeSync } from 'node:fs'
import { type DestinationStream, destination, pino } from 'pino'

export type Logger = import('pino').Logger

/**
 * JSON lines on standard output, or the `output` that is given; a person at a terminal gets them coloured, where
 * pino-pretty is installed. Into a file descriptor those of 10 milliseconds are written together, by another thread, and
 * what is left as the process exits; what was said within that time of its being killed is lost.
 */
export async function createLogger(options: {
  level: string
  human: boolean
  service: string
  output?: number | NodeJS.WritableStream
}): Promise<Logger> {
  const { level, service, output = 1 } = options
  const settings = { level, base: { service }, serializers: { err: withoutMembers } }
  const plain = () => pino(settings, typeof output === 'number' ? inChunks(output) : output)
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

// Characters. Whoever reads the log and stands still costs lines of it, and not the shop.
const longestBacklog = 16 * 1024 * 1024
// Characters, after which a chunk is written at once: a pipe with room for it takes it whole.
const longestChunk = 8 * 1024
// Milliseconds. A write wakes another thread, which is more work than most requests are to the log.
const longestWait = 10

/** Lines wait for each other: a write for each of them would cost as much as the answer that it tells of. */
function inChunks(fd: number): DestinationStream {
  const output = destination({ fd, maxLength: longestBacklog })
  let chunk = ''
  let timer: NodeJS.Timeout | undefined
  const flush = () => {
    clearTimeout(timer)
    timer = undefined
    output.write(chunk)
    chunk = ''
  }
  process.on('exit', () => {
    output.flushSync()
    // Not by `write`: what another thread is to begin now is dropped.
    try {
      writeSync(fd, chunk)
    } catch {
      // Whoever reads the log too slowly, or is gone, goes without its end.
    }
  })
  return {
    write(line) {
      chunk += line
      if (chunk.length > longestChunk) flush()
      else timer ??= setTimeout(flush, longestWait).unref()
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
