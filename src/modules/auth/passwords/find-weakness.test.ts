import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { createCall } from '#kernel/call.ts'
import { findWeakness, findWeaknessNow } from './find-weakness.ts'

const urlOf = (path: string) => new URL(path, import.meta.url).href
const account = { username: 'ada', email: 'ada@example.com' }
const mostCommon = 'must not be one of the most common passwords'

it('the dictionaries are loaded by a thread of their own when a password is chosen, not at the start', async () => {
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
  // The process ends although the thread still runs.
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  expect(JSON.parse(stdout)).toEqual({ before: 0, weakness: mostCommon, after: 1, loadedHere: false })
})

it('many passwords are checked in their turn, and each gets its own answer', async () => {
  const passwords = ['password123', 'copper violin thunder', 'Summer2024!', 'velvet harbor pencil']
  const call = createCall(30_000, 'test')
  const answers = await Promise.all(passwords.map((password) => findWeakness(password, account, call)))
  expect(answers).toEqual([mostCommon, undefined, expect.stringContaining('easily guessed'), undefined])
})

it('a check that fails is dependency_unavailable, and the next one succeeds', async () => {
  const call = createCall(30_000, 'test')
  const nobody = { username: 'ada' } as typeof account
  await expect(findWeakness('copper violin thunder', nobody, call)).rejects.toMatchObject({
    code: 'dependency_unavailable',
  })
  expect(await findWeakness('password123', account, call)).toBe(mostCommon)
})

it('the configuration gets its answer at once', () => {
  expect(findWeaknessNow('password123', account)).toBe(mostCommon)
  expect(findWeaknessNow('copper violin thunder', account)).toBeUndefined()
})

it('the configuration gets a failure of the check at once', () => {
  const nobody = { username: 'ada' } as typeof account
  expect(() => findWeaknessNow('copper violin thunder', nobody)).toThrow(TypeError)
})
