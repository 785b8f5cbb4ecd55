import { describe, expect, it } from 'vitest'
import { DomainError, type ErrorCode } from '#kernel/errors.ts'
import { errorOf, problemOf, renderProblem } from './problem-documents.ts'
import { kernelProblems } from './problems.ts'

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
