import { expect, it } from 'vitest'
import { maxQueryParameters, readQuery } from './parameters.ts'

it.each<[string, object]>([
  ['/products', {}],
  ['/products?', {}],
  ['/products?limit=1', { limit: '1' }],
  ['/products?limit', { limit: '' }],
  ['/products?q=a+b%20c&sort=-price', { q: 'a b c', sort: '-price' }],
  ['/products?q=caf%C3%A9', { q: 'café' }],
  ['/products?a=1&a=2&a=3', { a: ['1', '2', '3'] }],
  ['/products?&&a=1&', { a: '1' }],
  ['/products?a=b=c?d', { a: 'b=c?d' }],
])('the parameters of %s are read', (url, values) => {
  expect(readQuery(`http://shop.example${url}`)).toEqual({ values, isComplete: true })
})

it('parameters with names of the prototype of objects are read', () => {
  const { values } = readQuery('/?__proto__=1&constructor=2')
  expect(Object.entries(values)).toEqual([
    ['__proto__', '1'],
    ['constructor', '2'],
  ])
})

it('the first 100 parameters are read, and more parameters are reported', () => {
  const { values, isComplete } = readQuery(
    `/?${Array.from({ length: 5_000 }, (_, at) => `p${at}=1`).join('&')}`,
  )
  expect(isComplete).toBe(false)
  expect(Object.keys(values)).toHaveLength(maxQueryParameters)
  expect(readQuery(`/?${'&'.repeat(5_000)}limit=1`)).toEqual({ values: {}, isComplete: false })
})
