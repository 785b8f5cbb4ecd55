import { expect, it } from 'vitest'
import { DomainError } from '#kernel/errors.ts'
import { problemResponse } from './problem-documents.ts'
import { checkRequests, type RequestCheck } from './request-checks.ts'
import { createRouter } from './router.ts'

/** Sends a request through checks, and returns the status with the names of the checks that were carried out. */
async function send(checks: Record<string, RequestCheck>) {
  const done: string[] = []
  const router = createRouter()
  router.use(
    checkRequests(
      ...Object.entries(checks).map(
        ([name, check]): RequestCheck =>
          (c) => {
            done.push(name)
            return check(c)
          },
      ),
    ),
  )
  router.get('/', (c) => c.text(done.join()))
  router.onError((error, c) => problemResponse(c, error as DomainError))
  const { status } = await router.request('/')
  return { status, done }
}

const pass: RequestCheck = () => undefined
const passLater: RequestCheck = async () => {
  await new Promise(setImmediate)
}
const refuse: RequestCheck = () => {
  throw new DomainError('body_too_large', 'too large')
}
const refuseLater: RequestCheck = async (c) => {
  await passLater(c)
  refuse(c)
}

it('a request that passes all checks reaches its route, with checks that wait and without', async () => {
  expect(await send({ pass, passLater, second: pass, third: passLater })).toEqual({
    status: 200,
    done: ['pass', 'passLater', 'second', 'third'],
  })
})

it.each([
  [{ pass, refuse, never: pass }, ['pass', 'refuse']],
  [{ refuseLater, never: pass }, ['refuseLater']],
  [{ passLater, refuse, never: pass }, ['passLater', 'refuse']],
])('a check that refuses a request is the last one: %o', async (checks, done) => {
  expect(await send(checks)).toEqual({ status: 413, done })
})
