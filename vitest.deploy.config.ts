import { defineConfig } from 'vitest/config'

// `npm run test:deploy`: what is shipped in deploy/, with the tools that it is for.
export default defineConfig({
  test: {
    include: ['test/deployment/live/**/*.test.ts'],
    globalSetup: ['test/support/shared-mongod.ts'],
    fileParallelism: false,
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
    disableConsoleIntercept: true,
  },
})
