import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { securityEvents } from './security-events.ts'

it('docs/security-events.md has the events, and the level of each', () => {
  const document = readFileSync(new URL('../../../docs/security-events.md', import.meta.url), 'utf8')
  const rows = [...document.matchAll(/^\| `auth\.(\w+)` \| (\w+) \|/gm)].map(([, event, level]) => [
    event,
    level,
  ])
  expect(rows).toEqual(Object.entries(securityEvents).map(([event, { level }]) => [event, level]))
})
