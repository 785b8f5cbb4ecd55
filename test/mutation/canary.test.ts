import { expect, it } from 'vitest'
import { isNegative } from './canary.ts'

it.each([
  [-1, true],
  [0, false],
  [1, false],
])('%i is negative: %s', (value, expected) => {
  expect(isNegative(value)).toBe(expected)
})
