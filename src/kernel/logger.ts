import { type DestinationStream, destination, pino, symbols } from 'pino'

export type Logger = import('pino').Logger

/**
 * JSON lines on standard output, or the `output` that is given; a person at a terminal gets them coloured, where
 * pino-pretty is installed. Into a file descriptor warnings and what is worse are written at once, with all before them,
 * and everything else at the end of the round of the event loop, or as the process exits.
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

const warning = 40

/** One write for all lines of a round of the event loop: the answers that they tell of go out first. */
function roundByRound(fd: number): DestinationStream {
  // Left to itself it would write in another thread, some time later.
  const output = destination({ fd, sync: true })
  let lines = ''
  const flush = () => {
    if (lines === '') return
    output.write(lines)
    lines = ''
  }
  process.on('exit', flush)
  return {
    // Asks pino for `lastLevel`.
    [symbols.needsMetadataGsym]: true,
    lastLevel: 0,
    write(line: string) {
      if (lines === '') setImmediate(flush)
      lines += line
      if (this.lastLevel >= warning) flush()
    },
  } as DestinationStream & { lastLevel: number }
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
