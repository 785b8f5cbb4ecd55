import { createRoute, z } from '@hono/zod-openapi'
import {
  bearer,
  body,
  etagHeader,
  json,
  locationHeader,
  notModifiedResponse,
  page,
  replayedHeader,
  signedIn,
  withBody,
} from '#kernel/http/openapi.ts'
import { ifNoneMatch, preconditions } from '#kernel/http/preconditions.ts'
import { amount, cursor, id, idempotencyKey, limit, timestamp } from '#kernel/schemas.ts'
import { orderStatuses, requestableStatuses } from './order-status.ts'
import { errors } from './problems.ts'

const tags = ['Orders']
const params = z.object({ id: id.openapi({ param: { name: 'id', in: 'path' } }) })

const order = z
  .object({
    orderId: id,
    userId: id,
    productList: z.array(
      z.object({
        productId: id,
        name: z.string().nullable().openapi({
          description:
            'The name of the product at the time of the order. Null if the order was never confirmed.',
        }),
        price: amount.nullable(),
        quantity: z.int(),
      }),
    ),
    totalAmount: amount.nullable(),
    status: z.enum(orderStatuses),
    version: z.int(),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .openapi('Order', {
    example: {
      orderId: '66f2a1b0c3d4e5f607182a01',
      userId: '66f2a1b0c3d4e5f607182900',
      productList: [
        { productId: '66f2a1b0c3d4e5f60718293a', name: 'Espresso cup', price: 12.9, quantity: 2 },
      ],
      totalAmount: 25.8,
      status: 'confirmed',
      version: 2,
      createdAt: '2026-11-23T10:15:00.000Z',
      updatedAt: '2026-11-23T10:15:00.012Z',
    },
  })

const statusChange = z
  .object({
    status: z.enum(orderStatuses),
    at: timestamp,
    by: z.string().nullable().openapi({
      description:
        'The id of the user whose request led to the status; or `sweeper` or `audit` if the program undid or completed an abandoned order by itself. Null if it is not known, as for changes by an earlier version of the program.',
      example: '66f2a1b0c3d4e5f607182900',
    }),
  })
  .openapi('OrderStatusChange')

const line = z.strictObject({ productId: id, quantity: z.int().min(1).max(1_000).openapi({ example: 2 }) })
const newOrder = z
  .strictObject({ productList: z.array(line).min(1).max(100) })
  .openapi('NewOrder', { description: 'The quantities of lines with the same product are added.' })

const orderUpdate = z
  .strictObject({ status: z.enum(requestableStatuses) })
  .openapi('StatusChange', { example: { status: 'cancelled' } })

const changed = {
  200: { description: 'The order after the change', headers: etagHeader, content: json(order) },
  202: {
    description:
      'The order is being cancelled. Its stock could not be released at once; it is released later.',
    headers: etagHeader,
    content: json(order),
  },
}

const placeOrder = createRoute({
  method: 'post',
  path: '/orders',
  tags,
  summary: 'Place an order',
  description:
    'The order takes the stock of all its lines, or of none. If the stock is less than one line needs, the answer is 409. If the outcome is not known in time, the answer is 503 with `orderId`. A retry with the same Idempotency-Key continues that order.',
  security: bearer,
  request: { headers: z.object({ 'Idempotency-Key': idempotencyKey }), body: body(newOrder) },
  responses: {
    201: {
      description: 'The confirmed order',
      headers: { ...etagHeader, ...locationHeader, ...replayedHeader },
      content: json(order),
    },
    ...errors(
      ...withBody,
      ...signedIn,
      'insufficient_stock',
      'request_in_progress',
      'invalid_transition',
      'unknown_product',
      'idempotency_key_reused',
      'overloaded',
    ),
  },
})

export const orderApi = {
  placeOrder,
  placeOrderAlias: createRoute({
    ...placeOrder,
    path: '/orders/create_order',
    summary: 'Place an order, by the alias of the path',
    description: 'An alias of `POST /orders`, with the same requests and answers.',
  }),
  listOrders: createRoute({
    method: 'get',
    path: '/orders',
    tags,
    summary: 'List orders, newest first',
    description:
      'A customer gets their own orders. An admin gets the orders of all users. Rejected orders are listed only with `status=rejected`.',
    security: bearer,
    request: {
      query: z.object({
        userId: id.optional().openapi({
          description: 'Lists the orders of this user only. A customer may only name themselves.',
        }),
        status: z.enum(orderStatuses).optional(),
        limit,
        cursor,
      }),
    },
    responses: {
      200: { description: 'A page of orders', content: json(page('OrderPage', order)) },
      ...errors('validation_failed', ...signedIn, 'forbidden'),
    },
  }),
  getOrder: createRoute({
    method: 'get',
    path: '/orders/{id}',
    tags,
    summary: 'Read an order',
    security: bearer,
    request: { params, headers: z.object({ 'If-None-Match': ifNoneMatch }) },
    responses: {
      200: { description: 'The order', headers: etagHeader, content: json(order) },
      304: notModifiedResponse,
      ...errors('validation_failed', ...signedIn, 'order_not_found'),
    },
  }),
  listOrderHistory: createRoute({
    method: 'get',
    path: '/orders/{id}/history',
    tags,
    summary: 'List the statuses that an order has had, oldest first',
    description:
      'The first entry is `pending`, at the time of the order and by its owner. The last entry is the present status.',
    security: bearer,
    request: { params, query: z.object({ limit, cursor }) },
    responses: {
      200: { description: 'A page of statuses', content: json(page('OrderHistoryPage', statusChange)) },
      ...errors('validation_failed', ...signedIn, 'order_not_found'),
    },
  }),
  updateOrder: createRoute({
    method: 'put',
    path: '/orders/{id}',
    tags,
    summary: 'Ship, deliver or cancel an order',
    description:
      'The owner of an order may only cancel it. An admin may set every status that the body allows.',
    security: bearer,
    request: { params, headers: preconditions, body: body(orderUpdate) },
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
  }),
  cancelOrder: createRoute({
    method: 'delete',
    path: '/orders/{id}',
    tags,
    summary: 'Cancel an order',
    description: 'Cancelling a cancelled order changes nothing, and is answered 200.',
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
