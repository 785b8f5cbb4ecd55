import { pino } from 'pino'
import { createLogDestination } from './log-destination.ts'
import { terminalLog } from './terminal-log.ts'

export type Logger = import('pino').Logger

/** Whether the log is brief. A terminal shows only warnings and errors, in short form, if LOG_LEVEL is not set. */
export const isBrief = ({ level, human }: { level: string | undefined; human: boolean }): boolean =>
  human && level === undefined

/**
 * Writes JSON lines to standard output or to the given `output`, from the given `level` or `info` on. A terminal gets warnings
 * and errors in short form if no level is given. With a level it gets all its lines, coloured if pino-pretty is installed.
 */
export async function createLogger(options: {
  level: string | undefined
  /** Whether the output is a terminal. */
  human: boolean
  service: string
  output?: number | NodeJS.WritableStream
}): Promise<Logger> {
  // Reading `process.stdout` also makes a pipe non-blocking, which Node.js does at the first access.
  const { service, output = process.stdout.fd } = options
  const brief = isBrief(options)
  const level = options.level ?? (brief ? 'warn' : 'info')
  const settings = { level, base: { service }, serializers: { err: describeError } }
  const plain = () => pino(settings, typeof output === 'number' ? createLogDestination(output) : output)
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

/**
 * Describes an error and its causes. Other members are left out, because MongoDB's errors have members with the refused
 * values, such as a password's hash.
 */
function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) }
  const { type, message, stack, code } = pino.stdSerializers.err(error)
  return { type, message, stack, code }
}
