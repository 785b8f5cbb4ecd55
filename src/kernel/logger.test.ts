import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { recordLog } from '#test/support/recorded-log.ts'
import { DomainError, dependencyUnavailable } from './errors.ts'
import { logMembers } from './log-members.ts'

/** The log line of an error. */
async function lineOf(err: unknown) {
  const { logger, lines } = await recordLog()
  logger.error({ err }, 'it failed')
  return lines[0]
}

it('a process logs the members of the list, and no others', async () => {
  const script = `
import { createLogger } from '${new URL('./logger.ts', import.meta.url).href}'
const logger = await createLogger({ level: 'info', human: false, service: 'test' })
const odd = { password: 'hunter2', headers: { authorization: 'Bearer hunter2' }, toString: () => 'hunter2' }
logger.info({ userId: 'ada', ...odd }, 'one')
logger.child({ module: 'order', ...odd }).warn({ ...odd, status: 200 }, 'two')
logger.repeatable('kind', 'error', { job: 'sweep', ...odd, err: Object.assign(new Error('no'), odd) }, 'three')`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  const always = { level: expect.any(Number), time: expect.any(Number), service: 'test' }
  expect(lines).toEqual([
    { ...always, msg: 'one', userId: 'ada' },
    { ...always, msg: 'two', module: 'order', status: 200 },
    {
      ...always,
      msg: 'three',
      job: 'sweep',
      err: { type: 'Error', message: 'no', stack: expect.any(String) },
    },
  ])
  expect(stdout).not.toContain('hunter2')
})

it('a member that is not in the list does not compile', async () => {
  const { logger } = await recordLog()
  // @ts-expect-error
  logger.info({ password: 'hunter2' }, 'one')
  // @ts-expect-error
  logger.info({ reason: new Error('not as text') }, 'two')
})

it('docs/observability.md describes each member of the log', async () => {
  const text = await readFile(new URL('../../docs/observability.md', import.meta.url), 'utf8')
  const [, table = ''] = text.match(/^\| member \|.*\n\|.*\n((?:\|.*\n)+)/m) ?? []
  const described = table.split('\n').flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`(\w+)`/g)])
  expect(described.map(([, name]) => name)).toEqual([...logMembers])
})

it('an expected failure is logged with its causes and without a stack', async () => {
  const error = dependencyUnavailable('product is not available', new Error('connection refused'))
  expect((await lineOf(error)).err).toEqual({
    type: 'DomainError',
    code: 'dependency_unavailable',
    message: 'product is not available: connection refused',
  })
  expect((await lineOf(new DomainError('internal_error', 'a defect'))).err).toHaveProperty('stack')
})

it('the logger shortens long errors', async () => {
  const error = new Error('x'.repeat(100_000), { cause: new Error('y'.repeat(100_000)) })
  expect(JSON.stringify(await lineOf(error)).length).toBeLessThan(6_000)
})

it('the logger logs the type, the message, the code and the stack of an error, with its causes', async () => {
  const cause = Object.assign(new RangeError('too far'), { code: 'ERR_FAR' })
  const error = Object.assign(new TypeError('it cannot go on', { cause }), { code: 'ERR_HALT' })
  expect(await lineOf(error)).toMatchObject({
    msg: 'it failed',
    err: {
      type: 'TypeError',
      message: 'it cannot go on: too far',
      code: 'ERR_HALT',
      stack: expect.stringMatching(
        /TypeError: it cannot go on\n +at (.|\n)*caused by: RangeError: too far\n +at /,
      ),
    },
  })
})

it('the logger logs no other members of an error or of its causes', async () => {
  const details = { errInfo: { details: [{ consideredValue: 'a hash of old' }] }, keyValue: 'a hash of old' }
  const cause = Object.assign(new Error('Document failed validation'), details)
  const error = Object.assign(new Error('not now', { cause }), details)
  expect(JSON.stringify(await lineOf(error))).not.toContain('a hash of old')
})

it('the logger logs a thrown value that is not an error as its message', async () => {
  expect(await lineOf('a string')).toMatchObject({ err: { message: 'a string' } })
})
