import { pino } from 'pino'

export type Logger = import('pino').Logger

/**
 * JSON lines on standard output, or the `output` that is given; a person at a terminal gets them coloured, where
 * pino-pretty is installed.
 */
export async function createLogger(options: {
  level: string
  human: boolean
  service: string
  output?: NodeJS.WritableStream
}): Promise<Logger> {
  const { level, service, output = process.stdout } = options
  const plain = () => pino({ level, base: { service } }, output)
  if (!options.human) return plain()
  const pretty = await import('pino-pretty').then(({ default: make }) => make).catch(() => undefined)
  if (!pretty) return plain()
  return pino(
    { level, base: { service } },
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
