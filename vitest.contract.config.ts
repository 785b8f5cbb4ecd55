import { defineConfig } from 'vitest/config'

// `npm run test:contract` holds the OpenAPI document to programs that other people wrote: generators of clients,
// compilers, a fuzzer. EXAMPLES is the number of examples per operation that the fuzzer generates. It also holds every operation
// to the document in the split shape, where `npm test` tries one operation of each module with each kind of wrong input.
export default defineConfig({
  test: {
    include: [
      'test/contract/toolchains/**/*.test.ts',
      'test/security/hostile-clients-split.test.ts',
      'test/shapes/document-split.test.ts',
    ],
    env: { EVERY_OPERATION: 'true' },
    globalSetup: ['test/support/shared-mongod.ts'],
    fileParallelism: false,
    testTimeout: 3_600_000,
    hookTimeout: 3_600_000,
    disableConsoleIntercept: true,
  },
})
