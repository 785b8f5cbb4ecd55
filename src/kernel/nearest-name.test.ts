import { expect, it } from 'vitest'
import { nearestName } from './nearest-name.ts'

const names = ['name', 'description', 'price', 'stock', 'version']

it.each([
  ['nam', 'name'],
  ['Name', 'name'],
  ['NAME', 'name'],
  ['prise', 'price'],
  ['discription', 'description'],
  ['descripton', 'description'],
  ['desc', 'description'],
  ['vers', 'version'],
])('the misspelling %s is taken for %s', (written, meant) => {
  expect(nearestName(written, names)).toBe(meant)
})

it.each(['amount', 'x', '', 'st', 'label', '__proto__', 'constructor', 'name'.repeat(100_000)])(
  'no name is suggested for %s',
  (written) => {
    expect(nearestName(written, names)).toBeUndefined()
  },
)
