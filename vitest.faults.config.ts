import { defineConfig } from 'vitest/config'

// `npm run test:faults` injects as many faults of each kind as FAULTS says, one kind after the other.
export default defineConfig({
  test: {
    include: ['test/faults/**/*.test.ts'],
    globalSetup: ['test/support/shared-mongod.ts'],
    env: { FAULTS: process.env.FAULTS ?? '100' },
    fileParallelism: false,
    testTimeout: 3_600_000,
    hookTimeout: 3_600_000,
    disableConsoleIntercept: true,
  },
})
