import { glob, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, it } from 'vitest'
import { filesLongerThan, functionsOf, medianLength, timesWithoutUnit } from './style-rules.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

const maxFileLines = 299
const maxFunctionLines = 80
const maxMedianFileLines = 99

const isTest = (name: string) => /\.(test|suite)\.ts$/.test(name)

const paths = (await Array.fromAsync(glob('{src,bench,scripts}/**/*.{ts,mjs}', { cwd: root }))).sort()
const files = await Promise.all(
  paths
    .filter((name) => !isTest(name))
    .map(async (name) => ({ name, text: await readFile(join(root, name), 'utf8') })),
)

it('no file outside tests has 300 lines or more, and half of those in src have fewer than 100', () => {
  expect(files.length).toBeGreaterThan(100)
  expect(filesLongerThan(maxFileLines, files)).toEqual([])
  const inSource = files.filter(({ name }) => name.startsWith('src/'))
  expect(inSource.length).toBeGreaterThan(100)
  expect(medianLength(inSource)).toBeLessThanOrEqual(maxMedianFileLines)
})

it('the check finds a file that is one line too long, and the median length of files in any order', () => {
  const planted = [300, 1, 299].map((lines) => ({ name: `${lines}.ts`, text: '1\n'.repeat(lines) }))
  expect(filesLongerThan(maxFileLines, planted)).toEqual(['300.ts'])
  expect(medianLength(planted)).toBe(299)
  expect(medianLength(planted.slice(0, 2))).toBeGreaterThan(maxMedianFileLines)
})

it(`no function outside tests has more than ${maxFunctionLines} lines`, () => {
  const functions = files.flatMap(({ name, text }) =>
    functionsOf(name, text).map((found) => ({ ...found, file: name })),
  )
  expect(functions.length).toBeGreaterThan(500)
  expect(functions.filter(({ lines }) => lines > maxFunctionLines)).toEqual([])
})

it('the check measures functions of every kind from their signature to their end', () => {
  const text = `
function one() {
  return 1
}
export const two = (a) =>
  a
const three = { four() {
  return () => {
  }
} }
class Five {
  get six() {

    return 6
  }
}`
  expect(functionsOf('planted.ts', text).map(({ name, line, lines }) => [name, line, lines])).toEqual([
    ['one', 2, 3],
    ['two', 5, 2],
    ['four', 7, 4],
    ['a function', 8, 2],
    ['six', 12, 4],
  ])
})

it('every number that holds a time is named with its unit', { timeout: 120_000 }, () => {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  const names = files.map(({ name }) => join(root, name)).filter((name) => name.endsWith('.ts'))
  const program = ts.createProgram(names, options)
  const own = program.getSourceFiles().filter(({ fileName }) => names.includes(fileName))
  expect(own.length).toBeGreaterThan(100)
  expect(own.flatMap((file) => timesWithoutUnit(program, file))).toEqual([])
})

it('the check finds a time without a unit in every kind of declaration, and accepts all other names', () => {
  const text = `
const requestTimeout = 5_000
const graceMs = 10, keptForSeconds = 60
let mode = 'timeout'
function wait(delay: number, { maxAge, pauseMs }: { maxAge?: number; pauseMs: number }) {}
interface Options { interval: number; window: string; retryAfter: number }
class Timer { elapsed = 0 }
const logged = { timeout: 5 }
const options: Options = { interval: 3, window: 'wide', retryAfter: 1 }
`
  const name = 'planted.ts'
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true)
  const host = ts.createCompilerHost({})
  const program = ts.createProgram(
    [name],
    { noLib: true, types: [] },
    {
      ...host,
      fileExists: (path) => path === name,
      getSourceFile: (path) => (path === name ? file : undefined),
    },
  )
  expect(timesWithoutUnit(program, file)).toEqual([
    'planted.ts:2 requestTimeout',
    'planted.ts:5 delay',
    'planted.ts:5 maxAge',
    'planted.ts:5 maxAge',
    'planted.ts:6 interval',
    'planted.ts:7 elapsed',
    'planted.ts:8 timeout',
  ])
})
