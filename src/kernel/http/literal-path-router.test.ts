import { expect, it } from 'vitest'
import { createRouter } from './router.ts'

const app = createRouter()
app.use(async (c, next) => {
  await next()
  c.header('passed', 'yes')
})
app.post('/things/new', (c) => c.text('new'))
app.get('/things/:id', (c) => c.text(`read ${c.req.param('id')}`))
app.post('/things/:id/parts', (c) => c.text(`part of ${c.req.param('id')}`))

const send = async (method: string, path: string) => {
  const answer = await app.request(path, { method })
  return { status: answer.status, text: await answer.text(), passed: answer.headers.get('passed') }
}

it.each([
  ['POST', '/things/new', 'new'],
  ['POST', '/things/new/', 'new'],
  ['POST', '/things/n%65w', 'new'],
  ['GET', '/things/7', 'read 7'],
  ['GET', '/things/newer', 'read newer'],
  ['POST', '/things/7/parts', 'part of 7'],
])('%s %s reaches its route and the middleware', async (method, path, text) => {
  expect(await send(method, path)).toEqual({ status: 200, text, passed: 'yes' })
})

it.each([
  ['GET', '/things/new'],
  ['GET', '/things/new/'],
  ['GET', '/things/n%65w'],
  ['POST', '/things/7'],
])('%s %s has no route, since a literal path has its own methods only', async (method, path) => {
  expect(await send(method, path)).toMatchObject({ status: 404, passed: 'yes' })
})
