import { readFileSync } from 'node:fs'
import { Writable } from 'node:stream'
import { expect, it } from 'vitest'
import { createLogger } from '#kernel/logger.ts'
import { databaseName, startShop } from '#test/support/shop.ts'
import { securityEvents } from './security-events.ts'

it('docs/security-events.md lists each event with its level and its fields', () => {
  const document = readFileSync(new URL('../../../docs/security-events.md', import.meta.url), 'utf8')
  const rows = [...document.matchAll(/^\| `auth\.(\w+)` \| (\w+) \| .* \| (.*) \|$/gm)]
  expect(
    rows.map(([, event, level, fields = '']) => [
      event,
      level,
      [...fields.matchAll(/`(\w+)`/g)].map(([, field]) => field).toSorted(),
    ]),
  ).toEqual(
    Object.entries(securityEvents).map(([event, { level, fields }]) => [
      event,
      level,
      ['requestId', ...fields].toSorted(),
    ]),
  )
})

it('the audit trail records the creation of the admin of the settings, once', async () => {
  const lines: string[] = []
  const output = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    },
  })
  const logger = await createLogger({ level: 'info', human: false, service: 'test', output })
  const environment = { MONGODB_DATABASE: databaseName() }
  const first = await startShop({ environment, logger })
  const second = await startShop({ environment, logger })
  const { userId } = (await second.get('/profile', { token: second.adminToken })).body
  const opened = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'auth.registered')
  expect(opened).toEqual([
    {
      level: 30,
      time: expect.any(Number),
      service: 'test',
      module: 'auth',
      event: 'auth.registered',
      requestId: 'boot',
      userId,
      role: 'admin',
      by: 'operator',
      msg: 'account created',
    },
  ])
  await second.close()
  await first.close()
})
