import { describe, expect, it } from 'vitest'
import { DomainError, type ErrorCode } from '#kernel/errors.ts'
import { errorOf, failureResponse, problemOf, renderProblem } from './problem-documents.ts'
import { kernelProblems } from './problems.ts'
import { createRouter } from './router.ts'

describe('the answer to an error', () => {
  it('the answer to an error has the same retryAfter in the body and in the header if it is 429 or 503', () => {
    const retryable = Object.entries(kernelProblems).filter(
      ([, { status }]) => status === 429 || status === 503,
    )
    expect(retryable).toHaveLength(3)
    for (const [code] of retryable) {
      for (const [members, seconds] of [
        [{}, 1],
        [{ retryAfter: 7 }, 7],
      ] as const) {
        const { headers, body } = renderProblem(new DomainError(code as ErrorCode, 'later', members), 'r')
        expect({ header: headers['retry-after'], member: JSON.parse(body).retryAfter }, code).toEqual({
          header: String(seconds),
          member: seconds,
        })
      }
    }
  })

  it('the answer to an error has no retryAfter for other codes', () => {
    const { headers, body } = renderProblem(new DomainError('forbidden', 'no'), 'r')
    expect(headers).toEqual({ 'content-type': 'application/problem+json' })
    expect(JSON.parse(body)).not.toHaveProperty('retryAfter')
  })
})

it('every problem has retryable, which is true only where the same request may succeed later', () => {
  const retryable = Object.keys(kernelProblems).filter((code) => {
    const { body } = renderProblem(new DomainError(code as ErrorCode, 'refused'), 'r')
    const document = JSON.parse(body)
    expect(document.retryable, code).toBeTypeOf('boolean')
    return document.retryable
  })
  expect(retryable.sort()).toEqual([
    'dependency_unavailable',
    'overloaded',
    'rate_limited',
    'request_in_progress',
    'request_timeout',
  ])
})

describe('an error between services', () => {
  it('errorOf returns the error that was sent as a problem', () => {
    const error = new DomainError('version_conflict', 'it is version 4 now', { currentVersion: 4 })
    const received = errorOf(JSON.parse(JSON.stringify(problemOf(error))))
    expect(received).toMatchObject({ code: error.code, message: error.message })
    expect(received?.members).toEqual(error.members)
  })

  it.each([null, 'text', {}, { code: 'unknown_code' }, { code: 'toString' }, []])(
    'errorOf returns undefined for a document that is not a problem: %j',
    (problem) => {
      expect(errorOf(problem)).toBeUndefined()
    },
  )
})

describe('the answer to whatever was thrown', () => {
  const answerTo = (thrown: Error) => {
    const router = createRouter()
    router.get('/', () => {
      throw thrown
    })
    router.onError((error, c) => failureResponse(c, error))
    return router.request('/')
  }

  it.each([
    ['an error that is no domain error', new Error('the password is 1234')],
    ['an internal error', new DomainError('internal_error', 'the password is 1234')],
    ['an error of another module', new DomainError('insufficient_stock', 'the password is 1234')],
  ])('the answer to %s has no message of it', async (_what, error) => {
    const answer = await answerTo(error)
    expect(answer.status).toBe(500)
    const text = await answer.text()
    expect(JSON.parse(text)).toMatchObject({ code: 'internal_error' })
    expect(text).not.toContain('1234')
  })

  it('the answer to an error of the table is its problem', async () => {
    const answer = await answerTo(new DomainError('forbidden', 'only an admin may do this'))
    expect({ status: answer.status, problem: await answer.json() }).toMatchObject({
      status: 403,
      problem: { code: 'forbidden', detail: 'only an admin may do this' },
    })
  })
})
