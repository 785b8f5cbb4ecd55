import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { causeOf, errorLinesIn, isLockedByAnother, lastOf } from './mongod-failure.ts'

const line = (severity: string, attr: object) =>
  JSON.stringify({
    t: { $date: '2026-11-29T00:58:06.373+00:00' },
    s: severity,
    c: 'WT',
    id: 22435,
    msg: 'm',
    attr,
  })

it.each([
  ['a full disk', { error: 28, message: { error_str: 'No space left on device' } }, /no space is left/],
  ['a used up quota', { error: 122, message: { error_str: 'Disk quota exceeded' } }, /quota is used up/],
  [
    'a directory that the user may not write to',
    { error: 'IllegalOperation: Attempted to create a lock file on a read-only directory: /x' },
    /may not access its files/,
  ],
  [
    'a file that the user may not open',
    { message: { msg: '/x/WiredTiger.wt: open: Permission denied' } },
    /may not access its files/,
  ],
  ['a read-only file system', { message: { error_str: 'Read-only file system' } }, /read-only/],
  ['too many open files', { message: { error_str: 'Too many open files' } }, /limit of open files/],
  [
    'data of another version',
    { error: 'Location: Invalid featureCompatibilityVersion' },
    /another version of MongoDB/,
  ],
  ['damaged data', { message: { error_str: 'WT_TRY_SALVAGE: database corruption detected' } }, /damaged/],
])('the cause in the log of mongod is described in plain words: %s', (_what, attr, cause) => {
  expect(causeOf(line('E', attr))).toMatch(cause)
})

it('the cause is read from the new part of the log, and from the output of mongod', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-log-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const log = join(folder, 'mongod.log')
  const before = `${line('E', { error: 'of an earlier start' })}\n`
  const now = [line('I', { error: 'none' }), line('E', { error: 'DBPathInUse: "mongod.lock" is locked' })]
  await writeFile(log, `${before}${now.join('\n')}\n`)
  const errorLines = await errorLinesIn(log, before.length, '')
  expect(errorLines).toBe(now[1])
  expect(isLockedByAnother(errorLines)).toBe(true)
  expect(lastOf(errorLines)).toBe('DBPathInUse: "mongod.lock" is locked')
  const printed = line('F', { error: { errmsg: 'logpath should name a file' } })
  expect(await errorLinesIn(folder, 0, printed)).toBe(printed)
  expect(lastOf(printed)).toBe('logpath should name a file')
})
