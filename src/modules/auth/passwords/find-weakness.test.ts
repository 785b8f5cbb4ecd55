import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { createCall } from '#kernel/call.ts'
import { findWeakness, findWeaknessNow } from './find-weakness.ts'

const urlOf = (path: string) => new URL(path, import.meta.url).href
const account = { username: 'ada', email: 'ada@example.com' }
const mostCommon = 'must not be one of the most common passwords'

it('a worker thread loads the dictionaries when the first password is chosen, not at the start', async () => {
  const script = `
import { createRequire } from 'node:module'
const threads = []
process.on('worker', ({ threadId }) => threads.push(threadId))
await import('${urlOf('../../../host/serve.ts')}')
const { findWeakness } = await import('${urlOf('./find-weakness.ts')}')
const { createCall } = await import('${urlOf('../../../kernel/call.ts')}')
const before = threads.length
const weakness = await findWeakness('password123', ${JSON.stringify(account)}, createCall(30_000, 'test'))
await findWeakness('password123', ${JSON.stringify(account)}, createCall(30_000, 'test'))
const require = createRequire('${import.meta.url}')
const loadedHere = Object.keys(require.cache).some((file) => file.includes('@zxcvbn-ts'))
console.log(JSON.stringify({ before, weakness, after: threads.length, loadedHere }))`
  // The process exits although the worker thread still runs.
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  expect(JSON.parse(stdout)).toEqual({ before: 0, weakness: mostCommon, after: 1, loadedHere: false })
})

it('each of several concurrent checks gets the answer for its own password', async () => {
  const passwords = ['password123', 'copper violin thunder', 'Summer2024!', 'velvet harbor pencil']
  const call = createCall(30_000, 'test')
  const answers = await Promise.all(passwords.map((password) => findWeakness(password, account, call)))
  expect(answers).toEqual([mostCommon, undefined, expect.stringContaining('easily guessed'), undefined])
})

it('a failed check is dependency_unavailable, and the next check succeeds', async () => {
  const call = createCall(30_000, 'test')
  const incomplete = { username: 'ada' } as typeof account
  await expect(findWeakness('copper violin thunder', incomplete, call)).rejects.toMatchObject({
    code: 'dependency_unavailable',
  })
  expect(await findWeakness('password123', account, call)).toBe(mostCommon)
})

it('findWeaknessNow returns the answer synchronously', () => {
  expect(findWeaknessNow('password123', account)).toBe(mostCommon)
  expect(findWeaknessNow('copper violin thunder', account)).toBeUndefined()
})

it('findWeaknessNow throws the failure of the check', () => {
  const incomplete = { username: 'ada' } as typeof account
  expect(() => findWeaknessNow('copper violin thunder', incomplete)).toThrow(TypeError)
})
