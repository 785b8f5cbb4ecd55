import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // `npm run test:deploy`
    exclude: ['test/deployment/live/**'],
    globalSetup: ['test/support/shared-mongod.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two workers: mongod and the processes that the tests start share the two cores.
    maxWorkers: 2,
  },
})
