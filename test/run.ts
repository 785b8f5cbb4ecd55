// `npm test`: the type check, the lint, the boundary check and every test, all of them whatever fails, and one line
// that counts them.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { runQuickChecks } from './quick-checks.ts'
import { chromiumMissing, hasBrowserTests } from './support/chromium.ts'

const root = new URL('..', import.meta.url)
const results = mkdtempSync(join(tmpdir(), 'trivet-results-'))
const report = join(results, 'vitest.json')

/** A program of a package, on the Node.js that runs this file. */
function passes(title: string, program: string, ...args: string[]): boolean {
  console.log(`\n> ${title}: ${[basename(program), ...args].join(' ')}`)
  const options = { cwd: root, stdio: 'inherit' } as const
  const { status } = spawnSync(process.execPath, [join('node_modules', program), ...args], options)
  return status === 0
}

const checks = await runQuickChecks()
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
rmSync(results, { recursive: true, force: true })

if (!hasBrowserTests()) console.log(`\nThe tests in test/browser did not run. ${chromiumMissing}`)

const passed = tests.passed + checks.filter((check) => check).length
const failed = tests.failed + checks.filter((check) => !check).length
console.log(`\n${passed} passed, ${failed} failed`)
process.exit(failed === 0 && tests.passed > 0 ? 0 : 1)
