import { defineConfig } from 'vitest/config'

// `npm run test:mutation` runs the tests of one area at a time.
export default defineConfig({
  test: {
    include: process.env.MUTATION_TESTS?.split(' '),
    globalSetup: ['test/support/shared-mongod.ts'],
    testTimeout: 90_000,
    hookTimeout: 120_000,
  },
})
