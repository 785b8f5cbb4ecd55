import { styleText } from 'node:util'
import type { DestinationStream } from 'pino'

/** The number of failed requests whose cause is kept until the request itself is logged. */
const maxPendingCauses = 100
const standardWidth = 80

interface Line extends Record<string, unknown> {
  level: number
  time: number
  service: string
  module?: string
  msg?: string
  requestId?: string
  err?: { message: string; stack?: string }
}

/** The members of a line that the short form omits, or shows without their names. */
const unnamed = [
  'level',
  'time',
  'service',
  'module',
  'msg',
  'requestId',
  'traceparent',
  'err',
  'method',
  'path',
  'status',
  'ms',
]

/**
 * Writes each log line as one line that fits the width of the terminal. The cause of a failed request is logged before the
 * request; both are shown in one line. Only a crash is shown with its stack.
 */
export function terminalLog(terminal: NodeJS.WriteStream): DestinationStream {
  const causes = new Map<string, string>()
  return {
    write(json) {
      const line = JSON.parse(json) as Line
      const { requestId } = line
      const isRequest = line.status !== undefined
      if (requestId !== undefined && line.err && !isRequest) {
        causes.set(requestId, messageOf(line))
        const [oldest = ''] = causes.keys()
        if (causes.size > maxPendingCauses) causes.delete(oldest)
        return
      }
      const cause = requestId === undefined ? undefined : causes.get(requestId)
      if (requestId !== undefined) causes.delete(requestId)
      const head = `${new Date(line.time).toTimeString().slice(0, 8)} ${labelOf(line.level)} `
      const text = `${sourceOf(line)}${isRequest ? requestOf(line, cause) : messageOf(line)}`
      const width = (terminal.columns || standardWidth) - head.length
      const colour = line.level >= 50 ? 'red' : 'yellow'
      const stack = line.level >= 60 && line.err?.stack ? `${line.err.stack}\n` : ''
      terminal.write(`${styleText(colour, head, { stream: terminal })}${fitToWidth(text, width)}\n${stack}`)
    },
  }
}

const labelOf = (level: number): string =>
  level >= 60 ? 'FATAL' : level >= 50 ? 'ERROR' : level >= 40 ? 'WARN ' : 'INFO '

function sourceOf({ service, module }: Line): string {
  const source = module ?? (service === 'all' ? undefined : service)
  return source === undefined ? '' : `${source}: `
}

function requestOf({ method, path, status }: Line, cause: string | undefined): string {
  const reason = cause === undefined ? '' : `: ${cause}`
  return `${status} ${method} ${path}${reason}`
}

function messageOf(line: Line): string {
  const { msg = '', err, method, path } = line
  const reason = err?.message ?? ''
  // The error's message replaces a log message that it starts with, because it continues with the causes.
  const description = reason.startsWith(msg) ? reason : [msg, reason].filter((part) => part !== '').join(': ')
  const request = method === undefined ? '' : `${method} ${path}`
  const members = Object.entries(line)
    .filter(([name]) => !unnamed.includes(name))
    .map(([name, value]) => `${name}=${typeof value === 'object' ? JSON.stringify(value) : value}`)
  return [description, request, ...members].filter((part) => part !== '').join(' ')
}

/** Returns one line without control characters. A text that is too long ends with an ellipsis. */
function fitToWidth(text: string, width: number): string {
  const line = text.replaceAll(/[\s\p{Cc}\p{Cf}]+/gu, ' ').trim()
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`
}
