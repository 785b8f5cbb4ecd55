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

const request = { requestId: 'one', method: 'GET', path: '/products', status: 503, ms: 4_000.5 }

it('the terminal log shows a failed request as one line with its cause', () => {
  const lines = shown((logger) => {
    logger.warn({ requestId: 'one', err: new Error('no answer: refused') }, 'no answer')
    logger.error({ requestId: 'two', err: new Error('x is undefined') }, 'unexpected error')
    logger.error(request, 'request')
    logger.error({ ...request, requestId: 'two', status: 500 }, 'request')
    logger.error({ ...request, requestId: 'three' }, 'request')
  })
  expect(lines).toEqual([
    'ERROR 503 GET /products: no answer: refused',
    'ERROR 500 GET /products: unexpected error: x is undefined',
    'ERROR 503 GET /products',
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
      logger.warn({ error: 'one\ntwo\r\n\u001b[31mthree\u001b[0m \u202e four' }, 'job\tfailed')
    },
    { columns },
  )
  expect(lines).toHaveLength(2)
  expect(lines[0]).toMatch(/^ERROR 503 GET \/x+…$/)
  expect(lines[1]).toMatch(/^WARN {2}job failed error=one /)
  expect(lines[1]).not.toMatch(/\p{Cc}|\p{Cf}/u)
})

it('the terminal log shows the stack of a crash', () => {
  const error = new Error('it is over')
  const lines = shown((logger) => logger.fatal({ err: error, reason: 'uncaughtException' }, 'crashed'))
  expect(lines[0]).toBe('FATAL crashed: it is over reason=uncaughtException')
  expect(lines.slice(1).join('\n')).toBe(error.stack)
})

it('the terminal log keeps a limited number of causes whose requests are not logged', () => {
  const lines = shown((logger) => {
    for (let n = 0; n < 1_000; n++) logger.warn({ requestId: `${n}`, err: new Error('late') }, 'late')
    logger.error({ ...request, requestId: '0' }, 'request')
    logger.error({ ...request, requestId: '999' }, 'request')
  })
  expect(lines).toEqual(['ERROR 503 GET /products', 'ERROR 503 GET /products: late'])
})
