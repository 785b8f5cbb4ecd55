import { z } from '@hono/zod-openapi'
import { errorsOf } from '#kernel/http/problem-responses.ts'
import type { ProblemTable } from '#kernel/http/problems.ts'
import { id } from '#kernel/schemas.ts'
import { insufficientStock } from '../product/contract.ts'
import { orderStatus, requestableStatus } from './order.schemas.ts'

declare module '#kernel/errors.ts' {
  interface ErrorCodes extends Record<keyof typeof orderProblems, true> {}
}

/** The problems that only this module has. */
export const orderProblems = {
  order_not_found: {
    status: 404,
    title: 'There is no such order',
    meaning: 'The order does not exist, or belongs to another user.',
    advice: 'Read the list of orders again.',
  },
  invalid_transition: {
    status: 409,
    title: 'The status does not allow this step',
    meaning:
      'The status of the order does not allow this step. `allowed` lists the steps that this user may take.',
    members: { from: orderStatus, to: orderStatus, allowed: z.array(requestableStatus) },
    example: { from: 'shipped', to: 'cancelled', allowed: [] },
    advice: 'Choose one of the steps in `allowed`.',
  },
  unknown_product: {
    status: 422,
    title: 'A product does not exist',
    meaning: 'A product of the order does not exist. `productIds` names each.',
    members: { productIds: z.array(id) },
    example: { productIds: ['66f2a1b0c3d4e5f60718293a'] },
    advice: 'Remove the products in `productIds` from the order.',
  },
} satisfies ProblemTable

const orderId = id
  .optional()
  .openapi({ description: 'The id of the order, if its outcome is not known yet.' })

const headers = {
  Location: {
    description: 'The path of the order, if the answer has `orderId`.',
    schema: { type: 'string' },
  },
}

/** The error answers of a route of this module, by their codes. */
export const errors = errorsOf({ ...orderProblems, insufficient_stock: insufficientStock }, 'Order', {
  dependency_unavailable: { members: { orderId }, headers },
  overloaded: { members: { orderId }, headers },
})
