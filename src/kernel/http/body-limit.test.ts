import { expect, it } from 'vitest'
import { DomainError } from '#kernel/errors.ts'
import { bodyLimit } from './body-limit.ts'
import { problemResponse } from './problem-documents.ts'
import { checkRequests } from './request-checks.ts'
import { createRouter } from './router.ts'

const router = createRouter()
router.use(checkRequests(bodyLimit(10)))
router.post('/', async (c) => c.text(await c.req.text()))
router.onError((error, c) =>
  problemResponse(c, error instanceof DomainError ? error : new DomainError('internal_error', String(error))),
)

/** Sends a body without Content-Length, in pieces. */
const send = async (...pieces: (string | Error)[]) => {
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = pieces.shift()
      if (piece === undefined) controller.close()
      else if (piece instanceof Error) controller.error(piece)
      else controller.enqueue(new TextEncoder().encode(piece))
    },
  })
  const answer = await router.request('/', { method: 'POST', body, duplex: 'half' } as RequestInit)
  return { status: answer.status, text: await answer.text() }
}

it('a body up to the limit is passed on', async () => {
  expect(await send('12345', '67890')).toEqual({ status: 200, text: '1234567890' })
  expect(await send()).toEqual({ status: 200, text: '' })
})

it('a body of one byte over the limit gets 413', async () => {
  expect((await send('12345', '67890', '1')).status).toBe(413)
})

it('a body whose client disconnects before its end gets 400', async () => {
  expect((await send('123', new Error('aborted'))).status).toBe(400)
  expect((await send('1234567890', '1', new Error('aborted'))).status).toBe(400)
})
