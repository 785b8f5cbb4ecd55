import { defineConfig } from 'vitest/config'

// `npm run test:contract` holds the OpenAPI document to programs that other people wrote: generators of clients,
// compilers, a fuzzer. EXAMPLES is the number of examples per operation that the fuzzer generates.
export default defineConfig({
  test: {
    include: ['test/contract/toolchains/**/*.test.ts'],
    globalSetup: ['test/support/shared-mongod.ts'],
    fileParallelism: false,
    testTimeout: 3_600_000,
    hookTimeout: 3_600_000,
    disableConsoleIntercept: true,
  },
})
