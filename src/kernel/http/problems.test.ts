import { describe, expect, it } from 'vitest'
import { DomainError, type ErrorCode } from '#kernel/errors.ts'
import { errorOf, kernelProblems, problemOf, renderProblem } from './problems.ts'

describe('the answer to an error', () => {
  it('says in its body, as in its header, after how many seconds to try again', () => {
    const patient = Object.entries(kernelProblems).filter(
      ([, { status }]) => status === 429 || status === 503,
    )
    expect(patient).toHaveLength(3)
    for (const [code] of patient) {
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

  it('says nothing of that where trying again is of no use', () => {
    const { headers, body } = renderProblem(new DomainError('forbidden', 'no'), 'r')
    expect(headers).toEqual({ 'content-type': 'application/problem+json' })
    expect(JSON.parse(body)).not.toHaveProperty('retryAfter')
  })
})

describe('an error between services', () => {
  it('is the same on the other side', () => {
    const error = new DomainError('version_conflict', 'it is version 4 now', { currentVersion: 4 })
    const received = errorOf(JSON.parse(JSON.stringify(problemOf(error))))
    expect(received).toMatchObject({ code: error.code, message: error.message, members: error.members })
  })

  it.each([null, 'text', {}, { code: 'unheard_of' }, { code: 'toString' }, []])(
    'is none of ours: %j',
    (problem) => {
      expect(errorOf(problem)).toBeUndefined()
    },
  )
})
