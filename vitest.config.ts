import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { noPython } from './test/contract/python.ts'
import { noPromtool } from './test/monitoring/promtool.ts'
import { hasBrowserTests } from './test/support/chromium.ts'

// The workers, and the processes that the tests start, load the packages faster from the compiled code of an earlier process.
process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'trivet-compile-cache')

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // `npm run test:deploy` runs those of deployments, `npm run test:contract` those with compilers and the long fuzzing, and
    // `npm run test:mutation` its canary.
    exclude: [
      'test/deployment/live/**',
      'test/contract/toolchains/**',
      'test/mutation/**',
      ...(hasBrowserTests() ? [] : ['test/browser/**']),
      ...(noPromtool ? ['test/monitoring/promtool.test.ts'] : []),
      ...(noPython ? ['test/contract/fuzzing.test.ts'] : []),
    ],
    // The test files of a worker share the modules that they import. Importing them again takes a second of CPU time for each file.
    isolate: false,
    globalSetup: ['test/support/shared-mongod.ts'],
    setupFiles: ['test/support/print-logged-errors.ts'],
    // These limits only end a test that hangs: a machine that has more to do may need several times as long as a quiet one.
    testTimeout: 90_000,
    hookTimeout: 120_000,
    // More workers would be slower on two cores, because mongod and the processes that the tests start use them too.
    maxWorkers: 2,
  },
})
