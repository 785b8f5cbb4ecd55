import { z } from '@hono/zod-openapi'
import { cursor, id, limit, rule, time } from '#kernel/schemas.ts'
import { orderStatusFilter } from './order.schemas.ts'
import { followedStatuses, sortOrders } from './order-list.ts'
import type { OrderStatus } from './order-status.ts'

/** Stored times have whole milliseconds. A time between two of them is rounded, so that the filter has the same effect. */
const timeFilter = (round: 'up' | 'down', description: string) =>
  time
    .transform((value) => {
      const isBetween = /\.\d{3}0*[1-9]/.test(value)
      // A date drops what is beyond milliseconds.
      return new Date(Date.parse(value) + (isBetween && round === 'up' ? 1 : 0))
    })
    .optional()
    .openapi({
      type: 'string',
      description: `${description} In a URL, the \`+\` of an offset is written as \`%2B\`.`,
    })

const statuses = z
  .array(orderStatusFilter)
  .superRefine((values, context) => {
    const again = values.findIndex((value, at) => values.indexOf(value) < at)
    if (again === -1) return
    const fault = rule('repeated', `must name ${values[again]} only once`)
    context.addIssue({ code: 'custom', path: [again], ...fault })
  })
  // The same statuses in another order are the same filter.
  .transform((values) => values.toSorted())

const isFollowed = (status: OrderStatus) => followedStatuses.includes(status)

export const orderListQuery = z
  .object({
    userId: id.optional().openapi({
      description: 'Lists only the orders of this user. A customer may only send their own id.',
    }),
    status: z
      .preprocess((value) => (value === undefined ? undefined : [value].flat()), statuses.optional())
      .openapi({
        uniqueItems: true,
        description:
          'Lists only the orders with this status. To list several statuses, repeat the parameter: `status=shipped&status=delivered`. Without it, the list has every status except `rejected`.',
      }),
    createdAfter: timeFilter('up', 'Lists only the orders that were placed at this time or later.'),
    createdBefore: timeFilter(
      'up',
      'Lists only the orders that were placed before this time. So an order is in only one of two ranges if the second begins at the end of the first.',
    ),
    updatedAfter: timeFilter(
      'down',
      'Only with `sort=updated`: lists only the orders that changed after this time.',
    ),
    sort: z
      .enum(sortOrders)
      .default('newest')
      .openapi('OrderSort', {
        description:
          '`newest`: the order that was placed last comes first. `updated`: the order whose last change is the oldest comes first.',
        'x-enum-varnames': ['LATEST', 'LEAST_RECENTLY_CHANGED'],
      }),
    limit,
    cursor,
  })
  .superRefine(({ sort, status = [], createdAfter, createdBefore, updatedAfter }, context) => {
    const refuse = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, ...rule('rule', message) })
    if (createdAfter && createdBefore && createdAfter >= createdBefore) {
      refuse(['createdBefore'], 'must be later than createdAfter')
    }
    if (updatedAfter && sort !== 'updated') refuse(['updatedAfter'], 'must be used with sort=updated')
    const at = status.findIndex((each) => !isFollowed(each))
    if (sort === 'updated' && at !== -1) {
      refuse(['status', at], `must be one of ${followedStatuses.join(', ')} with sort=updated`)
    }
  })

export const orderListDescription = `A customer gets their own orders. An admin gets the orders of all users. Rejected orders are listed only if \`status\` asks for them.

All filters can be combined. A cursor is valid only with the filters and the \`sort\` that it was made with. The server looks at a limited number of orders for a page, so that a page with the filter \`status\` may be shorter than \`limit\`, or empty, although more orders follow. Only a \`nextCursor\` of null means the end of the list.

**Follow changes.** With \`sort=updated\`, a program can follow all changes without missing one:

1. Read the list to its end, page by page, until \`nextCursor\` is null. A page may have fewer orders than \`limit\`, or none.
2. Keep the \`updatedAt\` of the last order in the list. If the list was empty, keep the time that you had.
3. Wait, read the list again with \`updatedAfter\` set to that time, and continue with step 2.

An order that changes several times may appear once, with its last change, or several times; \`version\` tells which state is newer. The list shows a change about half a minute after it was made, because until then an earlier change can still arrive (26 s with the default \`REQUEST_TIMEOUT\`, and up to 11 s more in a shop without traffic). \`pending\` and \`rejected\` orders are not listed with \`sort=updated\`, so that an order first appears when it is confirmed or cancelled. With \`status\`, an order is listed only while it has one of these statuses.`
