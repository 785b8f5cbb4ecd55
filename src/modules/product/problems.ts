import { errorsOf } from '#kernel/http/openapi.ts'
import type { ProblemTable } from '#kernel/http/problems.ts'
import { insufficientStock } from './contract.ts'

declare module '#kernel/errors.ts' {
  interface ErrorCodes extends Record<keyof typeof productProblems, true> {}
}

/** The problems that only this module has. */
export const productProblems = {
  product_not_found: {
    status: 404,
    title: 'There is no such product',
    advice: 'Read the list of products again.',
  },
  insufficient_stock: insufficientStock,
} satisfies ProblemTable

/** The error answers of a route of this module, by their codes. */
export const errors = errorsOf(productProblems)
