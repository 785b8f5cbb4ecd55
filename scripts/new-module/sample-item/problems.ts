import { errorsOf } from '#kernel/http/problem-responses.ts'
import type { ProblemTable } from '#kernel/http/problems.ts'

declare module '#kernel/errors.ts' {
  interface ErrorCodes extends Record<keyof typeof sampleItemProblems, true> {}
}

/** The problems that only this module has. */
export const sampleItemProblems = {
  sample_item_not_found: {
    status: 404,
    title: 'There is no such sample item',
    meaning: 'The sample item does not exist, or belongs to another user.',
    advice: 'Use the id from the answer that created the sample item.',
  },
} satisfies ProblemTable

/** The error answers of a route of this module, by their codes. */
export const errors = errorsOf(sampleItemProblems)
