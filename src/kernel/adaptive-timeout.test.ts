import { expect, it } from 'vitest'
import { createAdaptiveTimeout } from './adaptive-timeout.ts'

it('an adaptive timeout is twice the longest recent duration in whole milliseconds, or its minimum', () => {
  const timeout = createAdaptiveTimeout(500)
  expect(timeout.currentMs()).toBe(500)
  timeout.record(300.3)
  expect(timeout.currentMs()).toBe(601)
  for (let count = 0; count < 10; count++) timeout.record(1)
  expect(timeout.currentMs()).toBe(500)
})
