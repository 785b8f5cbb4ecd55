import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { urlVariable } from '#kernel/config/general-settings.ts'
import { faultCodes } from '#kernel/errors.ts'
import { kernelProblems } from '#kernel/http/problems.ts'
import { joinProblems } from '#src/http/join-problems.ts'
import { registry } from '#src/registry.ts'
import { problems } from '#test/support/problems.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

it('docs/errors.md has each code with its status, whether it is retryable, its meaning and its advice, module by module', async () => {
  const page = await readFile(join(root, 'docs', 'errors.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\d{3}) \| (yes|no) \| (.*) \| (.*) \|$/gm)]
  const documented = rows.map(([, code, status, retryable, meaning, advice]) => ({
    code,
    status: Number(status),
    retryable: retryable === 'yes',
    meaning,
    advice,
  }))
  const defined = Object.entries(problems).map(([code, { status, retryable = false, meaning, advice }]) => ({
    code,
    status,
    retryable,
    meaning,
    advice,
  }))
  expect(documented, 'run `npm run openapi`, and remove the section of a module that is gone').toEqual(
    defined,
  )
})

it('docs/errors.md has each code of an entry of errors', async () => {
  const page = await readFile(join(root, 'docs', 'errors.md'), 'utf8')
  const documented = [...page.matchAll(/^\| `(\w+)` \| [A-Z][^|]* \|$/gm)].map(([, code]) => code)
  expect(documented).toEqual([...faultCodes])
})

it('the boot refuses a code that two modules have, and names both', () => {
  const problem = {
    status: 404,
    title: 'There is no such cup',
    meaning: 'The cup was deleted.',
    advice: 'Read the list again.',
  } as const
  const modules = ['cups', 'plates'].map((name) => ({ name, problems: { cup_not_found: problem } }))
  expect(() => joinProblems(modules)).toThrow(
    'the problem cup_not_found of plates must have another code, because cups already has this one',
  )
  expect(() => joinProblems([{ name: 'cups', problems: { overloaded: problem } }])).toThrow(
    'the problem overloaded of cups must have another code, because the kernel already has this one',
  )
})

it('the code of the kernel contains no problem code, setting or field of a module', async () => {
  const problemCodes = registry.flatMap(({ problems = {} }) => Object.keys(problems))
  const allSettings = registry.flatMap(({ settings }) =>
    Object.keys(settings?.({ production: true }).shape ?? {}),
  )
  // The kernel defines the settings that several modules have.
  const settings = allSettings.filter((name) => allSettings.indexOf(name) === allSettings.lastIndexOf(name))
  const urls = registry.map(({ name }) => urlVariable(name))
  expect(problemCodes.length).toBeGreaterThan(7)
  expect(settings.length).toBeGreaterThan(7)
  const words = [...problemCodes, ...settings, ...urls]
  const files = (await readdir(join(root, 'src', 'kernel'), { recursive: true })).filter(
    (file) => file.endsWith('.ts') && !/\.(test|suite)\.ts$/.test(file),
  )
  expect(files.length).toBeGreaterThan(50)
  for (const file of files) {
    const code = await readFile(join(root, 'src', 'kernel', file), 'utf8')
    for (const word of [...words, 'productId', 'productList', 'orderId']) {
      expect(code.includes(word), `${file} has ${word}`).toBe(false)
    }
  }
  expect(Object.keys(kernelProblems).filter((code) => words.includes(code))).toEqual([])
})
