import { z } from '@hono/zod-openapi'
import { toMinorUnits } from '#kernel/money.ts'
import { alongWithFields, cursor, limit, rule } from '#kernel/schemas.ts'
import { maxPrice, sortOrders } from './product.ts'

const priceRule = 'must be an amount with at most two decimal places, such as 19.99'

const priceFilter = (description: string) =>
  z
    .string()
    .regex(/^-?\d{1,20}(\.\d{1,2})?$/, { message: priceRule, abort: true })
    .transform((amount) => toMinorUnits(Number(amount)))
    .refine((price) => price >= 0, rule('min', 'must be at least 0'))
    .refine((price) => price <= toMinorUnits(maxPrice), rule('max', `must be at most ${maxPrice}`))
    .optional()
    .openapi({ type: 'number', format: 'double', minimum: 0, maximum: maxPrice, description })

const sort = z.enum(sortOrders).default('newest').openapi('ProductSort', {
  description:
    'Newest first, by price (`-price`: highest first), or by name without regard to case. Products with equal prices or names are ordered by id.',
})

export const listQuery = z
  .object({
    minPrice: priceFilter('Lists products at this price or above. At most two decimal places.'),
    maxPrice: priceFilter(
      'Lists products at this price or below. At most two decimal places, and not less than `minPrice`.',
    ),
    inStock: z
      .enum(['true', 'false'])
      .transform((value) => value === 'true')
      .optional()
      .openapi({
        type: 'boolean',
        description: '`true` lists products that are in stock, and `false` those that are sold out.',
      }),
    sort,
    limit,
    cursor,
  })
  .refine(
    ({ minPrice, maxPrice }) =>
      typeof minPrice !== 'number' || typeof maxPrice !== 'number' || minPrice <= maxPrice,
    { path: ['maxPrice'], ...rule('rule', 'must not be less than minPrice'), ...alongWithFields },
  )
