import { z } from '@hono/zod-openapi'
import { toMinorUnits } from '#kernel/money.ts'
import { alongWithFields, cursor, limit, rule, text } from '#kernel/schemas.ts'
import { maxPrice, sortOrders } from './product.ts'
import { maxSearchLength, maxSearchWords, searchWords } from './search-words.ts'

const priceRule = 'must be an amount with at most two decimal places, such as 19.99'

const priceFilter = (description: string) =>
  z
    .string()
    .regex(/^-?\d+(\.\d{1,2})?$/, { message: priceRule, abort: true })
    .transform((amount) => toMinorUnits(Number(amount)))
    .refine((price) => price >= 0, rule('min', 'must be at least 0'))
    .refine((price) => price <= toMinorUnits(maxPrice), rule('max', `must be at most ${maxPrice}`))
    .optional()
    .openapi({ type: 'number', format: 'double', minimum: 0, maximum: maxPrice, description })

const sort = z.enum(sortOrders).openapi('ProductSort', {
  description:
    '`newest`: the newest product comes first. `price`: the lowest price comes first. `-price`: the highest price comes first. `name`: by name, without regard to case. Products with equal prices or names are ordered by id. The default is `newest`. With `q`, the default is the best match first.',
  'x-enum-varnames': ['NEWEST', 'LOWEST_PRICE', 'HIGHEST_PRICE', 'NAME'],
})

const search = text(1, maxSearchLength)
  .pipe(
    z.string().superRefine((value, context) => {
      const { length } = searchWords(value)
      if (length > 0 && length <= maxSearchWords) return
      const message = `must have 1 to ${maxSearchWords} different words`
      context.addIssue({ code: 'custom', ...rule(length === 0 ? 'rule' : 'max', message) })
    }),
  )
  .optional()
  .openapi({
    description:
      'Lists products whose name and description contain all these words, without regard to case and accents. At least one of several words must occur as a whole word, and the others may be parts of longer words. The best match comes first, and a word in the name counts more than one in the description. At most the best 1,000 matches are listed; with `sort`, these are sorted. If ranking takes more than a second, which happens at about 100,000 matches, any 1,000 matches are listed.',
  })

export const listQuery = z
  .object({
    q: search,
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
    sort: sort.optional(),
    limit,
    cursor,
  })
  .refine(
    ({ minPrice, maxPrice }) =>
      typeof minPrice !== 'number' || typeof maxPrice !== 'number' || minPrice <= maxPrice,
    { path: ['maxPrice'], ...rule('rule', 'must not be less than minPrice'), ...alongWithFields },
  )
