import { pino } from 'pino'
import { excerpt, isDomainError } from './errors.ts'
import { createLogDestination } from './log-destination.ts'
import { type LogMembers, onlyAllowed } from './log-members.ts'
import type { Metrics } from './metrics.ts'
import { countRepeats } from './repeats.ts'
import { terminalLog } from './terminal-log.ts'

type Log = (...line: [members: LogMembers, message: string] | [message: string]) => void

/** Writes lines with the members of an allow-list (`logMembers`). */
export interface Logger {
  debug: Log
  info: Log
  warn: Log
  error: Log
  fatal: Log
  /**
   * Writes a line about something that many requests may meet. The first line of a `kind` is written. The following ones are
   * counted, and every ten seconds the last of them is written with their `count`. At level `debug` each of them is written too.
   */
  repeatable(
    kind: string,
    level: 'info' | 'warn' | 'error',
    ...line: [members: LogMembers, message: string]
  ): void
  /** A logger whose lines have these members too. */
  child(members: LogMembers): Logger
}

const repeatIntervalMs = 10_000

/** Whether the log is brief. A terminal shows only warnings and errors, in short form, if LOG_LEVEL is not set. */
export const isBrief = ({ level, human }: { level: string | undefined; human: boolean }): boolean =>
  human && level === undefined

/** Tells the operator what happens to the embedded MongoDB: a terminal gets the sentence, and a JSON log a line of its format. */
export const operatorLog =
  (logger: Logger, { human }: { human: boolean }) =>
  (sentence: string): void => {
    if (human) console.log(sentence)
    else logger.warn(sentence)
  }

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
  metrics?: Metrics
}): Promise<Logger> {
  const { service } = options
  const level = options.level ?? (isBrief(options) ? 'warn' : 'info')
  const repeats = countRepeats(repeatIntervalMs)
  // This listener comes before that of the destination, which writes the last lines.
  if (typeof options.output !== 'object') process.on('exit', repeats.flush)
  const settings: pino.LoggerOptions = {
    level,
    base: { service },
    serializers: { err: describeError },
    formatters: { log: onlyAllowed },
  }
  const base = pino(
    settings,
    await openOutput(options, (linesLost) => logger.warn({ linesLost }, lostMessage)),
  )
  const logger = loggerOf(base, repeats)
  return logger
}

const lostMessage =
  'the reader of this log had stopped, or its disk was full: lines were lost since the process started'

async function openOutput(
  options: Parameters<typeof createLogger>[0],
  onLost: (linesLost: number) => void,
): Promise<pino.DestinationStream> {
  // Reading `process.stdout` also makes a pipe non-blocking, which Node.js does at the first access.
  const { service, output = process.stdout.fd, metrics } = options
  const plain = () =>
    typeof output === 'number' ? createLogDestination(output, { onLost, metrics }) : output
  if (isBrief(options)) return terminalLog(output === process.stderr.fd ? process.stderr : process.stdout)
  if (!options.human) return plain()
  const pretty = await import('pino-pretty').then(({ default: make }) => make).catch(() => undefined)
  if (!pretty) return plain()
  return pretty({
    destination: output,
    sync: true,
    translateTime: 'HH:MM:ss.l',
    singleLine: true,
    ignore: 'service',
    messageFormat: (line, message) =>
      service === 'all' ? String(line[message]) : `${service}: ${String(line[message])}`,
  })
}

function loggerOf(base: pino.Logger, repeats: ReturnType<typeof countRepeats>): Logger {
  const log = (level: pino.Level) => base[level].bind(base) as Log
  const logger: Logger = {
    debug: log('debug'),
    info: log('info'),
    warn: log('warn'),
    error: log('error'),
    fatal: log('fatal'),
    repeatable(kind, level, members, message) {
      const isWritten = repeats.add(kind, (count) =>
        logger[level](count === 1 ? members : { ...members, count }, message),
      )
      if (!isWritten) logger.debug(members, message)
    },
    child: (members) => loggerOf(base.child(onlyAllowed(members)), repeats),
  }
  return logger
}

const maxMessageLength = 1_000
const maxStackLength = 4_000

/**
 * Describes an error and its causes. Other members are left out, because MongoDB's errors have members with the refused
 * values, such as a password's hash. An expected failure, such as a service that does not answer, has no stack. A defect has one.
 */
function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: excerpt(String(error), maxMessageLength) }
  const { type, message, stack, code } = pino.stdSerializers.err(error)
  const isExpected = isDomainError(error) && error.code !== 'internal_error'
  return {
    type,
    message: excerpt(message, maxMessageLength),
    ...(!isExpected && { stack: excerpt(stack, maxStackLength) }),
    code,
  }
}
