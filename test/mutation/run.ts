import { Stryker } from '@stryker-mutator/core'
import { areas } from './areas.ts'

// `npm run test:mutation [AREA...]` changes the code in small ways, and runs the tests that execute it. A change that no test notices
// points to a missing test. It prints the survivors of each area, and fails if fewer than 85 % of an area's mutants are killed.

type MutantResult = Awaited<ReturnType<Stryker['runMutationTest']>>[number]

const leastKilled = 0.85
/** The variable in which `vitest.mutation.config.ts` finds the patterns of the tests. */
const testsVariable = 'MUTATION_TESTS'

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(areas)
const unknown = names.filter((name) => !(name in areas))
if (unknown.length > 0) {
  console.error(`${unknown.join(', ')}: not an area; the areas are ${Object.keys(areas).join(', ')}`)
  process.exit(1)
}

const lines: string[] = []
for (const [name, { mutate, tests }] of Object.entries(areas)) {
  if (!names.includes(name)) continue
  process.env[testsVariable] = tests.join(' ')
  const mutants = await new Stryker({
    testRunner: 'vitest',
    plugins: ['@stryker-mutator/vitest-runner'],
    vitest: { configFile: 'vitest.mutation.config.ts' },
    mutate: [...mutate],
    coverageAnalysis: 'perTest',
    // A mutant of what runs at import needs a whole run of the tests. Such mutants are mostly texts and limits.
    ignoreStatic: true,
    concurrency: 2,
    timeoutMS: 30_000,
    dryRunTimeoutMinutes: 30,
    reporters: ['progress-append-only', 'clear-text'],
    clearTextReporter: { allowColor: false, reportTests: false },
    // Vite transforms no file in node_modules.
    tempDirName: '.stryker',
    allowEmpty: false,
  }).runMutationTest()
  const { killed, missed, failed } = resultOf(mutants)
  const share = killed / (killed + missed)
  if (!(share >= (name === 'canary' ? 1 : leastKilled))) process.exitCode = 1
  lines.push(
    `${name.padEnd(12)} ${killed} of ${killed + missed} mutants killed (${(100 * share).toFixed(1)} %); ${failed} could not run`,
  )
  // The later areas say nothing if the tests do not see the mutants.
  if (name === 'canary' && share < 1) break
}
console.log(`\n${lines.join('\n')}`)

/** Counts as Stryker does: a mutant that no test executes has survived, and one that cannot run counts on neither side. */
function resultOf(mutants: readonly MutantResult[]) {
  const count = (...statuses: readonly MutantResult['status'][]) =>
    mutants.filter(({ status }) => statuses.includes(status)).length
  return {
    killed: count('Killed', 'Timeout'),
    missed: count('Survived', 'NoCoverage'),
    failed: count('RuntimeError', 'CompileError'),
  }
}
