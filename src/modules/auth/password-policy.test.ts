import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const urlOf = (path: string) => new URL(path, import.meta.url).href

it('the common passwords are loaded once somebody chooses a password, not at the start', async () => {
  const script = `
import { createRequire } from 'node:module'
import '${urlOf('../../serve.ts')}'
import { weaknessOf } from '${urlOf('./password-policy.ts')}'
const require = createRequire('${import.meta.url}')
const loaded = () => Object.keys(require.cache).some((file) => file.includes('@zxcvbn-ts'))
const before = loaded()
const weakness = weaknessOf('password123', { username: 'ada', email: 'ada@example.com' })
console.log(JSON.stringify({ before, weakness, after: loaded() }))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  expect(JSON.parse(stdout)).toEqual({
    before: false,
    weakness: 'must not be one of the most common passwords',
    after: true,
  })
})
