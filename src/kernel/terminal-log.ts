import { styleText } from 'node:util'
import type { DestinationStream } from 'pino'
import type { LogMember } from './log-members.ts'

const standardWidth = 80

interface Line extends Record<string, unknown> {
  level: number
  time: number
  service: string
  module?: string
  msg?: string
  method?: string
  path?: string
  status?: number
  count?: number
  err?: { message: string; stack?: string }
}

/** The members of a line that is no request which the short form omits, or shows without their names. */
const unnamed: ReadonlySet<string> = new Set<LogMember>([
  'level',
  'time',
  'service',
  'module',
  'msg',
  'requestId',
  'err',
])

/** Writes each log line as one line that fits the width of the terminal. A defect of the program is shown with its stack, too. */
export function terminalLog(terminal: NodeJS.WriteStream): DestinationStream {
  return {
    write(json) {
      const line = JSON.parse(json) as Line
      const head = `${new Date(line.time).toTimeString().slice(0, 8)} ${labelOf(line.level)} `
      const text = sourceOf(line) + (line.status === undefined ? messageOf(line) : requestOf(line))
      const width = (terminal.columns || standardWidth) - head.length
      const colour = line.level >= 50 ? 'red' : 'yellow'
      const stack = line.level >= 50 && line.err?.stack ? `${withoutControls(line.err.stack)}\n` : ''
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

function requestOf({ method = '', path = '', status, count = 1, err }: Line): string {
  const repeats = count === 1 ? '' : ` (${count} times)`
  const reason = err ? `: ${err.message}` : ''
  return `${status} ${method} ${path}${repeats}${reason}`
}

function messageOf(line: Line): string {
  const { msg = '', err } = line
  const reason = err?.message ?? ''
  // The error's message replaces a log message that it starts with, because it continues with the causes.
  const description = reason.startsWith(msg) ? reason : [msg, reason].filter((part) => part !== '').join(': ')
  const members = Object.entries(line)
    .filter(([name]) => !unnamed.has(name))
    .map(([name, value]) => `${name}=${typeof value === 'object' ? JSON.stringify(value) : value}`)
  return [description, ...members].join(' ')
}

/** The text may quote a request, whose control characters must not reach the terminal. */
const withoutControls = (text: string): string => text.replaceAll(/(?!\n)[\p{Cc}\p{Cf}]/gu, ' ')

/** Returns one line without control characters. A text that is too long ends with an ellipsis. */
function fitToWidth(text: string, width: number): string {
  const line = text.replaceAll(/[\s\p{Cc}\p{Cf}]+/gu, ' ').trim()
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`
}
