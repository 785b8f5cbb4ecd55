import { expect, it } from 'vitest'
import { defineModule } from './module.ts'

it('a module whose migrations have one name twice is refused, because the second one would never run', () => {
  const names = ['001-collection', '002-index', '001-collection']
  const define = () =>
    defineModule({
      name: 'cups',
      api: {},
      migrations: names.map((name) => ({ name })),
      needs: {},
      start: () => Promise.reject(new Error('not started')),
    })
  expect(define).toThrow('two migrations of cups have the name 001-collection: each must have its own')
})
