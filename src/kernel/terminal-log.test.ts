import { Writable } from 'node:stream'
import { pino } from 'pino'
import { expect, it } from 'vitest'
import { terminalLog } from './terminal-log.ts'

const time = /^\d\d:\d\d:\d\d /

/** The lines that a terminal shows, without their times. */
function shown(log: (logger: pino.Logger) => void, { columns = 80, service = 'all' } = {}): string[] {
  let text = ''
  const sink = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    },
  })
  const terminal = Object.assign(sink, { columns })
  log(pino({ level: 'warn', base: { service } }, terminalLog(terminal as unknown as NodeJS.WriteStream)))
  const lines = text.split('\n').slice(0, -1)
  for (const line of lines.filter((line) => time.test(line))) expect(line.length).toBeLessThanOrEqual(columns)
  return lines.map((line) => line.replace(time, ''))
}

const request = { requestId: 'one', method: 'GET', path: '/products', status: 503, durationMs: 4_000.5 }

it('the terminal log shows a failed request as one line with its cause', () => {
  const lines = shown((logger) => {
    const err = new Error('no answer: refused')
    logger.warn({ ...request, code: 'dependency_unavailable', err }, 'request')
    logger.warn({ ...request, count: 4_711, err }, 'request')
    logger.warn(request, 'request')
  })
  expect(lines).toEqual([
    'WARN  503 GET /products: no answer: refused',
    'WARN  503 GET /products (4711 times): no answer: refused',
    'WARN  503 GET /products',
  ])
})

it('the terminal log shows the service or the module of a line, and its members', () => {
  const log = (logger: pino.Logger) => logger.warn({ target: 'http://product', after: { ms: 3 } }, 'it fails')
  expect(shown(log, { service: 'order' })).toEqual([
    'WARN  order: it fails target=http://product after={"ms":3}',
  ])
  expect(shown((logger) => log(logger.child({ module: 'auth' })))).toEqual([
    'WARN  auth: it fails target=http://product after={"ms":3}',
  ])
})

it.each([40, 80, 200])('the terminal log fits every line into %i columns', (columns) => {
  const lines = shown(
    (logger) => {
      logger.error({ ...request, path: `/${'x'.repeat(500)}` }, 'request')
      logger.warn({ reason: 'one\ntwo\r\n\u001b[31mthree\u001b[0m \u202e four' }, 'job\tfailed')
    },
    { columns },
  )
  expect(lines).toHaveLength(2)
  expect(lines[0]).toMatch(/^ERROR 503 GET \/x+…$/)
  expect(lines[1]).toMatch(/^WARN {2}job failed reason=one /)
  expect(lines[1]).not.toMatch(/\p{Cc}|\p{Cf}/u)
})

it('the terminal log shows the stack of a defect, however long its message is', () => {
  const error = new TypeError(`${'x'.repeat(100)}\u001b[31m is undefined`)
  const lines = shown((logger) => logger.error({ ...request, status: 500, err: error }, 'request'))
  expect(lines[0]).toMatch(/^ERROR 500 GET \/products: x+…$/)
  expect(lines.slice(1).join('\n')).toBe(error.stack?.replace('\u001b', ' '))
})

it('the terminal log shows the stack of a crash', () => {
  const error = new Error('it is over')
  const lines = shown((logger) => logger.fatal({ err: error, reason: 'uncaughtException' }, 'crashed'))
  expect(lines[0]).toBe('FATAL crashed: it is over reason=uncaughtException')
  expect(lines.slice(1).join('\n')).toBe(error.stack)
})
