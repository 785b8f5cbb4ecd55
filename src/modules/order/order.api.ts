import { createRoute, z } from '@hono/zod-openapi'
import {
  bearer,
  body,
  etagHeader,
  json,
  locationHeader,
  patchBody,
  replayedHeader,
  signedIn,
  withBody,
} from '#kernel/http/openapi.ts'
import { preconditions } from '#kernel/http/preconditions.ts'
import { cursor, id, idempotencyKey, limit } from '#kernel/schemas.ts'
import { orderExamples as examples } from './order.examples.ts'
import { order, orderDraft, orderHistoryPage, orderPage, orderUpdate } from './order.schemas.ts'
import { orderListDescription, orderListQuery } from './order-list.api.ts'
import { errors } from './problems.ts'

const tags = ['Orders']
// The parameter has no example, because the demo has no order. A client takes the id from the answer to its order.
const params = z.object({
  id: id.openapi({
    param: { name: 'id', in: 'path' },
    description: 'The `orderId` of an order that was placed.',
  }),
})

const changed = {
  200: {
    description: 'The order after the change.',
    headers: etagHeader,
    content: json(order, examples.cancelled),
  },
  202: {
    description:
      'The order is being cancelled. Its stock could not be released at once, and will be released later without another request.',
    headers: etagHeader,
    content: json(order, examples.cancelling),
  },
}

const placeOrder = createRoute({
  method: 'post',
  path: '/orders',
  tags,
  summary: 'Place an order',
  description:
    'The order takes the stock of all its lines, or of none. If the stock does not suffice for a line, the answer is 409 `insufficient_stock`. Send an Idempotency-Key with every order: without it, a request that is sent again places a second order. If the outcome is not known in time, the answer is 503 with `orderId`. A retry with the same Idempotency-Key continues that order.',
  security: bearer,
  request: {
    headers: z.object({ 'Idempotency-Key': idempotencyKey }),
    body: body(orderDraft, examples.draft),
  },
  responses: {
    201: {
      description: 'The confirmed order.',
      headers: { ...etagHeader, ...locationHeader, ...replayedHeader },
      content: json(order, examples.confirmed),
    },
    ...errors(
      ...withBody,
      ...signedIn,
      'insufficient_stock',
      'request_in_progress',
      'invalid_transition',
      'unknown_product',
      'idempotency_key_reused',
    ),
  },
})

const updateOrder = createRoute({
  method: 'put',
  path: '/orders/{id}',
  tags,
  summary: 'Ship, deliver or cancel an order',
  description:
    'A confirmed order can be shipped, and then delivered. An order can be cancelled until it is shipped. The owner of an order may only cancel it. An admin may take all these steps. If the status does not allow the step, the answer is 409, and `allowed` lists the possible steps.',
  security: bearer,
  request: { params, headers: preconditions, body: body(orderUpdate, examples.update) },
  responses: {
    ...changed,
    ...errors(
      ...withBody,
      ...signedIn,
      'forbidden',
      'order_not_found',
      'invalid_transition',
      'precondition_failed',
    ),
  },
})

export const orderApi = {
  placeOrder,
  placeOrderAlias: createRoute({
    ...placeOrder,
    path: '/orders/create_order',
    summary: 'Place an order (alias)',
    description: 'An alias of `POST /orders`, with the same requests and answers.',
  }),
  listOrders: createRoute({
    method: 'get',
    path: '/orders',
    tags,
    summary: 'List orders',
    description: orderListDescription,
    security: bearer,
    request: { query: orderListQuery },
    responses: {
      200: {
        description: 'A page of orders.',
        headers: etagHeader,
        content: json(orderPage, examples.page),
      },
      ...errors('validation_failed', ...signedIn, 'forbidden'),
    },
  }),
  getOrder: createRoute({
    method: 'get',
    path: '/orders/{id}',
    tags,
    summary: 'Read an order',
    description:
      'The owner of the order and an admin may read it. The order of another user is answered 404, as if it did not exist.',
    security: bearer,
    request: { params },
    responses: {
      200: { description: 'The order.', headers: etagHeader, content: json(order, examples.confirmed) },
      ...errors('validation_failed', ...signedIn, 'order_not_found'),
    },
  }),
  listOrderHistory: createRoute({
    method: 'get',
    path: '/orders/{id}/history',
    tags,
    summary: 'List the statuses that an order has had, oldest first',
    description:
      'The owner of the order and an admin may read this list. The first entry is `pending`, at the time of the order and by its owner. The last entry is the current status.',
    security: bearer,
    request: { params, query: z.object({ limit, cursor }) },
    responses: {
      200: {
        description: 'A page of statuses.',
        headers: etagHeader,
        content: json(orderHistoryPage, examples.history),
      },
      ...errors('validation_failed', ...signedIn, 'order_not_found'),
    },
  }),
  updateOrder,
  patchOrder: createRoute({
    ...updateOrder,
    method: 'patch',
    summary: 'Ship, deliver or cancel an order (PATCH)',
    description:
      'Does what `PUT` does, with the same body. The body may also be sent as a merge patch (RFC 7396). The status cannot be removed, so that `null` is refused.',
    request: { ...updateOrder.request, body: patchBody(orderUpdate, examples.update) },
  }),
  cancelOrder: createRoute({
    method: 'delete',
    path: '/orders/{id}',
    tags,
    summary: 'Cancel an order',
    description:
      'An order can be cancelled until it is shipped. Its stock is released. Cancelling a cancelled order changes nothing, and is answered 200.',
    security: bearer,
    request: { params, headers: preconditions },
    responses: {
      ...changed,
      ...errors(
        'validation_failed',
        ...signedIn,
        'order_not_found',
        'invalid_transition',
        'precondition_failed',
      ),
    },
  }),
}
