import { expect, it } from 'vitest'
import { preferredType } from './negotiation.ts'

const json = 'application/json'
const html = 'text/html'

it.each([
  [undefined, json],
  ['', json],
  ['*/*', json],
  ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', html],
  ['application/json, text/plain, */*', json],
  ['text/html, */*', html],
  ['text/*', html],
  ['TEXT/HTML', html],
  ['text/html;q=0.5, application/json;q=0.4', html],
  ['text/html;q=0.4, application/json;q=0.5', json],
  ['text/html;q=0.9, */*', json],
  ['text/html;q=0, */*;q=0.1', json],
  ['application/json;q=0, */*;q=0.1', html],
  ['text/*;q=0.1, text/html;q=0.7, application/json;q=0.6', html],
  ['text/html;level=1, application/json;q=0.9', html],
  ['application/problem+json', json],
  ['image/png', json],
])('the header `Accept: %s` selects %s', (accept, type) => {
  expect(preferredType(accept, [json, html])).toBe(type)
})
