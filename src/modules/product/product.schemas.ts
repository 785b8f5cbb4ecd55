import { z } from '@hono/zod-openapi'
import { page } from '#kernel/http/openapi.ts'
import {
  alongWithFields,
  amount,
  currency,
  id,
  int32,
  int64,
  money,
  text,
  time,
  timestamp,
} from '#kernel/schemas.ts'
import { maxPrice, maxStock } from './product.ts'

/** The bodies of the requests and answers of the product module. */

const name = text(1, 200).openapi({ description: 'At least one character must be visible.' })
const description = text(0, 5_000)
const price = money(maxPrice)
const stock = int32.min(0).max(maxStock).openapi({ description: 'The quantity that can be ordered.' })

export const product = z
  .object({
    productId: id.openapi({ description: 'The server sets it, and it never changes.' }),
    name: z.string(),
    description: z.string().openapi({ description: 'Empty if the product has none.' }),
    price: amount.openapi({
      description: 'The price of one piece, a decimal amount with at most two decimal places.',
    }),
    currency,
    stock: int32.openapi({
      description: 'The quantity that can still be ordered.',
    }),
    version: int64.openapi({
      description:
        'The version grows with every change, including changes of the stock. The ETag contains it.',
    }),
    createdAt: timestamp,
    updatedAt: timestamp.openapi({
      description: 'The time of the last change, including changes of the stock.',
    }),
  })
  .openapi('Product')

export const productPage = page('ProductPage', product)

export const productDraft = z
  .strictObject({ name, description: description.default('').openapi({ default: '' }), price, stock })
  .openapi('ProductDraft')

const changeable = ['name', 'description', 'price', 'stock'] as const

const echoed = (schema: z.ZodType<string>) =>
  schema.optional().openapi({
    description: 'Ignored, so that a client may send the product as it read it.',
  })

const updateFields = z.strictObject({
  name: name.optional(),
  description: description.optional(),
  price: price.optional(),
  stock: stock.optional(),
  version: int64.optional().openapi({
    minimum: Number.MIN_SAFE_INTEGER,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'The version that the update is based on. Required unless the request has If-Match.',
  }),
  productId: id
    .optional()
    .openapi({ description: 'Optional. If it is present, it must be the id in the path.' }),
  currency: currency.optional().openapi({
    description: 'Optional. If it is present, it must be the currency of the product.',
  }),
  createdAt: echoed(time),
  updatedAt: echoed(time),
})

const fixed = updateFields.keyof().exclude(changeable).options

export const productUpdate = updateFields
  .refine((update) => changeable.some((field) => update[field] !== undefined), {
    message: `must have at least one of ${changeable.join(', ')}`,
    ...alongWithFields,
  })
  .openapi('ProductUpdate', {
    description: `Has at least one of ${changeable.map((field) => `\`${field}\``).join(', ')}. Fields that are left out stay as they are.`,
    // A body that has only fixed fields is refused. An `anyOf` that requires one of the changeable fields would say the same, but
    // code generators make no type of it, or a wrong one.
    not: { propertyNames: { enum: fixed } },
  })

export const stockAdjustment = z
  .strictObject({
    change: int32
      .min(-maxStock)
      .max(maxStock)
      .refine((change) => change !== 0, 'must not be 0')
      .openapi({
        description:
          'A positive number is added to the stock. A negative number reduces the stock, never below 0. The number 0 is refused.',
        not: { const: 0 },
      }),
    reason: text(0, 500).default('').openapi({
      default: '',
      description: 'The reason for the change. The stock ledger shows it.',
    }),
  })
  .openapi('StockAdjustment')

const stockChange = z
  .object({
    change: int32.openapi({
      description: 'The quantity that was added to the stock. It is negative if the stock was reduced.',
    }),
    stock: int32.openapi({ description: 'The stock after the change.' }),
    by: z.string().openapi({
      description:
        'The id of the user who made the change, or `demo` or `audit` if the program itself made it.',
    }),
    reason: z.string(),
    at: timestamp,
  })
  .openapi('StockChange')

export const stockChangePage = page('StockChangePage', stockChange)
