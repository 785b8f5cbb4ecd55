import { defineConfig } from 'vitest/config'

// `npm run test:deploy` tests the files in deploy/ with Docker and NGINX.
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
