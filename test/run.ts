// `npm test`: the type check, the lint, the boundary check, every test, and whether the answers in the tests have the
// statuses of the OpenAPI document: all of them whatever fails, and one line that counts them.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { compareStatuses } from './contract/compare-statuses.ts'
import { noPython } from './contract/python.ts'
import { noPromtool } from './monitoring/promtool.ts'
import { runQuickChecks } from './quick-checks.ts'
import { chromiumMissing, hasBrowserTests } from './support/chromium.ts'

const root = new URL('..', import.meta.url)
const results = mkdtempSync(join(tmpdir(), 'trivet-results-'))
const report = join(results, 'vitest.json')
const answers = join(results, 'answers')
mkdirSync(answers)

/** A program of a package, on the Node.js that runs this file. */
function passes(title: string, program: string, ...args: string[]): boolean {
  console.log(`\n> ${title}: ${[basename(program), ...args].join(' ')}`)
  const env = { ...process.env, TRIVET_ANSWERS: answers }
  const options = { cwd: root, stdio: 'inherit', env } as const
  const { status } = spawnSync(process.execPath, [join('node_modules', program), ...args], options)
  return status === 0
}

const checks = (await runQuickChecks()).map(({ passed }) => passed)
const vitest = passes(
  'tests',
  'vitest/vitest.mjs',
  'run',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${report}`,
)

let tests = { passed: 0, failed: 0 }
try {
  const { numPassedTests, numTotalTests, success } = JSON.parse(readFileSync(report, 'utf8'))
  // Whatever did not pass has failed: a test that never ran, a file that could not be loaded.
  const failed = numTotalTests - numPassedTests
  tests = { passed: numPassedTests, failed: success && vitest ? failed : Math.max(1, failed) }
} catch {
  tests.failed = 1
}
// A test that failed may have missed an answer.
if (vitest) {
  const faults = compareStatuses(
    JSON.parse(readFileSync(new URL('docs/openapi.json', root), 'utf8')),
    readdirSync(answers).flatMap((name) => readFileSync(join(answers, name), 'utf8').trim().split('\n')),
  )
  for (const fault of faults) console.log(fault)
  console.log(`statuses of the OpenAPI document: ${faults.length === 0 ? 'passed' : 'failed'}`)
  checks.push(faults.length === 0)
}
rmSync(results, { recursive: true, force: true })

if (!hasBrowserTests()) console.log(`\nThe tests in test/browser did not run. ${chromiumMissing}`)
if (noPromtool) console.log(`\nThe test in test/monitoring/promtool.test.ts did not run. ${noPromtool}.`)
if (noPython) console.log(`\nThe test in test/contract/fuzzing.test.ts did not run. ${noPython}.`)

const passed = tests.passed + checks.filter((check) => check).length
const failed = tests.failed + checks.filter((check) => !check).length
console.log(`\n${passed} passed, ${failed} failed`)
process.exit(failed === 0 && tests.passed > 0 ? 0 : 1)
