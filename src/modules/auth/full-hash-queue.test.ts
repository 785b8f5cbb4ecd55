import bcrypt from 'bcrypt'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { recordCommands, recordedUri } from '#test/support/recorded-commands.ts'
import { type Shop, startShop } from '#test/support/shop.ts'

let shop: Shop
beforeAll(async () => {
  shop = await startShop({ environment: { MONGODB_URI: recordedUri(), UV_THREADPOOL_SIZE: '2' } })
})
afterAll(async () => {
  vi.restoreAllMocks()
  await shop.close()
})

const password = 'correct horse battery'

it('a request with a password is refused before anything is read for it if too many wait for a thread', async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<boolean>()
  vi.spyOn(bcrypt, 'compare').mockImplementation(() => gate)
  const waiting = Array.from({ length: 70 }, (_, n) =>
    shop.post('/login', { body: { username: `early-${n}`, password } }),
  )
  const firstAnswer = await Promise.race(waiting)
  expect(firstAnswer.body).toMatchObject({ code: 'overloaded' })
  const commands = recordCommands()
  const refused = await Promise.all([
    shop.post('/login', { body: { username: 'late-comer', password } }),
    shop.post('/register', { body: { username: 'late-comer', email: 'late-comer@example.com', password } }),
  ])
  const sent = commands.take()
  commands.stop()
  for (const { status, headers, body } of refused) {
    expect({ status, code: body.code, retryAfter: headers.get('retry-after') }).toEqual({
      status: 503,
      code: 'overloaded',
      retryAfter: '1',
    })
  }
  expect(sent.filter(({ command }) => JSON.stringify(command).includes('late-comer'))).toEqual([])
  open(false)
  await Promise.all(waiting)
})
