import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // `npm run test:deploy` runs these.
    exclude: ['test/deployment/live/**'],
    globalSetup: ['test/support/shared-mongod.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // More workers would be slower on two cores, because mongod and the processes that the tests start use them too.
    maxWorkers: 2,
  },
})
