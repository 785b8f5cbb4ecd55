import { errorsOf } from '#kernel/http/problem-responses.ts'
import type { ProblemTable } from '#kernel/http/problems.ts'
import { insufficientStock } from './contract.ts'
import { productExamples as examples } from './product.examples.ts'
import { product } from './product.schemas.ts'

declare module '#kernel/errors.ts' {
  interface ErrorCodes extends Record<keyof typeof productProblems, true> {}
}

/** The problems that only this module has. */
export const productProblems = {
  product_not_found: {
    status: 404,
    title: 'There is no such product',
    meaning: 'The product does not exist, or was deleted.',
    advice: 'Read the list of products again.',
  },
  insufficient_stock: insufficientStock,
} satisfies ProblemTable

/** The error answers of a route of this module, by their codes. */
export const errors = errorsOf(productProblems, 'Product', {
  version_conflict: {
    members: { current: product },
    example: { currentVersion: examples.updated.version, current: examples.updated },
  },
})
