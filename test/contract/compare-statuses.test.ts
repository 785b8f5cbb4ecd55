import { expect, it } from 'vitest'
import { compareStatuses } from './compare-statuses.ts'

const responses = (...statuses: string[]) => ({
  responses: Object.fromEntries([...statuses, 'default'].map((status) => [status, {}])),
})
const document = {
  paths: {
    '/products': { get: responses('200', '400'), post: responses('201', '400') },
    '/products/{id}': { get: responses('200', '404') },
    '/products/best': { get: responses('200') },
  },
}

it('the comparison names a status that is not described, and one that no test gets', () => {
  const answers = [
    '200 GET /products/',
    '400 GET /products',
    '201 POST /products',
    '200 GET /products/{id}',
    '410 GET /products/gone',
    '200 HEAD /products/best',
    '404 GET /nowhere',
    '405 POST /products/best',
  ]
  expect(compareStatuses(document, answers)).toEqual([
    'GET /products/{id} was answered with 410, which the document does not describe',
    'no test gets the status 404 of GET /products/{id}, which the document describes',
  ])
})

it('a status that any route can have must occur for one operation', () => {
  expect(compareStatuses(document, [])).toHaveLength(7)
  expect(compareStatuses(document, ['400 POST /products'])).toHaveLength(5)
})
