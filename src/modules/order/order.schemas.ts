import { z } from '@hono/zod-openapi'
import { page } from '#kernel/http/openapi.ts'
import { amount, currency, id, int32, int64, timestamp } from '#kernel/schemas.ts'
import { orderStatuses, requestableStatuses } from './order-status.ts'

/** The bodies of the requests and answers of the order module. */

/**
 * The status in an answer is a text with known values, and no closed enum. A client that was generated from an enum cannot read an
 * order whose status was added later: Java, Go and Python clients refuse the whole answer. `examples` is the keyword that has no
 * effect on validation and is shown by tools.
 */
export const orderStatus = z.string().openapi('OrderStatus', {
  description: `One of ${orderStatuses.map((status) => `\`${status}\``).join(', ')}. More statuses may be added, and \`awaiting_payment\` is reserved. Treat a status that you do not know as an order in progress.

\`pending\`: the stock is not reserved yet. \`confirmed\`: the stock is reserved for the order. \`shipped\`, \`delivered\`: an admin has set this status. \`cancelling\`: the stock is being released. \`cancelled\`: the stock is released. \`rejected\`: the stock did not suffice, or a product did not exist.`,
  examples: [...orderStatuses],
})

/** A filter and a request can only name statuses that this version knows. */
export const orderStatusFilter = z
  .enum(
    orderStatuses,
    `must be one of ${orderStatuses.join(', ')}; for several statuses, repeat the parameter`,
  )
  .openapi('OrderStatusFilter')
export const requestableStatus = z.enum(requestableStatuses).openapi('RequestableOrderStatus', {
  description: 'A status that a client may request. Owners may only request `cancelled`.',
  'x-enum-varnames': ['SHIP', 'DELIVER', 'CANCEL'],
})

const neverConfirmed = 'Null if the order was never confirmed.'

const orderLine = z
  .object({
    productId: id,
    name: z
      .string()
      .nullable()
      .openapi({
        description: `The name of the product when its stock was reserved. ${neverConfirmed}`,
      }),
    price: amount.nullable().openapi({
      description: `The price of one piece when the stock was reserved, a decimal amount with at most two decimal places. ${neverConfirmed}`,
    }),
    quantity: int32,
  })
  .openapi('OrderLine')

export const order = z
  .object({
    orderId: id,
    userId: id.openapi({ description: 'The id of the user who placed the order.' }),
    productList: z
      .array(orderLine)
      .openapi({ description: 'The lines of the order, one for each product, in the order of their ids.' }),
    totalAmount: amount.nullable().openapi({
      description: `The sum of price times quantity over all lines. ${neverConfirmed}`,
    }),
    currency: currency.openapi({
      description:
        'The currency of the amounts (ISO 4217). A confirmed order keeps the currency of its confirmation. An order that was never confirmed has the current one.',
    }),
    status: orderStatus,
    version: int64.openapi({ description: 'The version grows with every change. The ETag contains it.' }),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .openapi('Order')

export const orderPage = page('OrderPage', order)

const orderStatusChange = z
  .object({
    status: orderStatus,
    at: timestamp,
    by: z.string().nullable().openapi({
      description:
        'The id of the user whose request led to the status; or `sweeper` or `audit` if the program itself undid or completed an unfinished order. Null if it is not known, such as for changes by an earlier version of the program.',
    }),
  })
  .openapi('OrderStatusChange')

export const orderHistoryPage = page('OrderHistoryPage', orderStatusChange)

const orderLineDraft = z
  .strictObject({ productId: id, quantity: int32.min(1).max(1_000) })
  .openapi('OrderLineDraft')

export const orderDraft = z
  .strictObject({ productList: z.array(orderLineDraft).min(1).max(100) })
  .openapi('OrderDraft', {
    description:
      'The quantities of lines with the same product are added. Names and prices come from the products, never from the client.',
  })

export const orderUpdate = z.strictObject({ status: requestableStatus }).openapi('OrderUpdate')
