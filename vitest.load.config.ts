import { defineConfig } from 'vitest/config'

// `npm run test:load` measures how the program behaves under faults and overload, and prints each figure beside its limit.
// `npm test` runs a short form of each file.
export default defineConfig({
  test: {
    include: ['test/load/**/*.test.ts'],
    globalSetup: ['test/support/shared-mongod.ts'],
    env: { LOAD: 'full' },
    fileParallelism: false,
    testTimeout: 1_200_000,
    hookTimeout: 1_200_000,
    disableConsoleIntercept: true,
  },
})
