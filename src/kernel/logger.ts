import { type DestinationStream, destination, pino } from 'pino'

export type Logger = import('pino').Logger

/**
 * JSON lines on standard output, or the `output` that is given; a person at a terminal gets them coloured, where
 * pino-pretty is installed. Into a file descriptor those of one round of the event loop are written together, by another
 * thread, and what is left as the process exits; what was said just before it is killed is lost.
 */
export async function createLogger(options: {
  level: string
  human: boolean
  service: string
  output?: number | NodeJS.WritableStream
}): Promise<Logger> {
  const { level, service, output = 1 } = options
  const settings = { level, base: { service }, serializers: { err: withoutMembers } }
  const plain = () => pino(settings, typeof output === 'number' ? roundByRound(output) : output)
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

/** All lines of a round at its end: the answers that they tell of go out first. */
function roundByRound(fd: number): DestinationStream {
  const output = destination({ fd, maxLength: longestBacklog })
  let lines: string[] = []
  const flush = () => {
    for (const line of lines) output.write(line)
    lines = []
  }
  process.on('exit', () => {
    flush()
    output.flushSync()
  })
  return {
    write(line) {
      if (lines.length === 0) setImmediate(flush)
      lines.push(line)
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
