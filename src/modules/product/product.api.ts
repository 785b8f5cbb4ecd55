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
import {
  alongWithFields,
  amount,
  cursor,
  id,
  idempotencyKey,
  limit,
  money,
  text,
  timestamp,
} from '#kernel/schemas.ts'
import { errors } from './problems.ts'
import { maxPrice, maxStock, sortOrders } from './product.ts'

const tags = ['Products']
const admin = [...signedIn, 'forbidden'] as const
const params = z.object({ id: id.openapi({ param: { name: 'id', in: 'path' } }) })

const name = text(1, 200).openapi({ example: 'Espresso cup' })
const description = text(0, 5_000).openapi({ example: 'Stoneware, 80 ml' })
const price = money(maxPrice)
const stock = z.int().min(0).max(maxStock).openapi({ example: 50 })

const product = z
  .object({
    productId: id,
    name: z.string(),
    description: z.string(),
    price: amount,
    stock: z.int(),
    version: z.int().openapi({
      description:
        'The version grows with every change, including changes of the stock. The ETag contains it.',
    }),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .openapi('Product', {
    example: {
      productId: '66f2a1b0c3d4e5f60718293a',
      name: 'Espresso cup',
      description: 'Stoneware, 80 ml',
      price: 19.99,
      stock: 50,
      version: 1,
      createdAt: '2026-11-23T10:15:00.000Z',
      updatedAt: '2026-11-23T10:15:00.000Z',
    },
  })

const newProduct = z
  .strictObject({ name, description: description.default(''), price, stock })
  .openapi('NewProduct')

const changeable = ['name', 'description', 'price', 'stock'] as const
const productUpdate = z
  .strictObject({
    name: name.optional(),
    description: description.optional(),
    price: price.optional(),
    stock: stock.optional(),
    version: z.int().optional().openapi({ description: 'The version that the update is based on.' }),
    productId: id
      .optional()
      .openapi({ description: 'Optional. If it is present, it must be the id in the path.' }),
    createdAt: z.iso
      .datetime()
      .optional()
      .openapi({ description: 'Ignored, so that a client may send the product as it read it.' }),
    updatedAt: z.iso
      .datetime()
      .optional()
      .openapi({ description: 'Ignored, so that a client may send the product as it read it.' }),
  })
  .refine((update) => changeable.some((field) => update[field] !== undefined), {
    message: `must name at least one of ${changeable.join(', ')}`,
    ...alongWithFields,
  })
  .openapi('ProductUpdate', { example: { price: 17.5, version: 3 } })

const stockChange = z
  .strictObject({
    change: z
      .int()
      .min(-maxStock)
      .max(maxStock)
      .refine((change) => change !== 0, 'must not be 0')
      .openapi({
        description: 'A positive number adds to the stock. A negative number reduces it.',
        not: { const: 0 },
        example: 25,
      }),
    reason: text(0, 500).default('').openapi({ example: 'delivery 4711' }),
  })
  .openapi('StockChange')

const createProduct = createRoute({
  method: 'post',
  path: '/products',
  tags,
  summary: 'Create a product',
  security: bearer,
  request: { body: body(newProduct) },
  responses: {
    201: {
      description: 'The new product',
      headers: { ...etagHeader, ...locationHeader },
      content: json(product),
    },
    ...errors(...withBody, ...admin, 'overloaded'),
  },
})

export const productApi = {
  createProduct,
  createProductAlias: createRoute({
    ...createProduct,
    path: '/products/create_product',
    summary: 'Create a product, by the alias of the path',
    description: 'An alias of `POST /products`, with the same requests and answers.',
  }),
  listProducts: createRoute({
    method: 'get',
    path: '/products',
    tags,
    summary: 'List products',
    request: {
      query: z.object({
        sort: z.enum(sortOrders).default('newest'),
        limit,
        cursor,
      }),
    },
    responses: {
      200: { description: 'A page of products', content: json(page('ProductPage', product)) },
      ...errors('validation_failed'),
    },
  }),
  getProduct: createRoute({
    method: 'get',
    path: '/products/{id}',
    tags,
    summary: 'Read a product',
    request: { params, headers: z.object({ 'If-None-Match': ifNoneMatch }) },
    responses: {
      200: { description: 'The product', headers: etagHeader, content: json(product) },
      304: notModifiedResponse,
      ...errors('validation_failed', 'product_not_found'),
    },
  }),
  updateProduct: createRoute({
    method: 'put',
    path: '/products/{id}',
    tags,
    summary: 'Update a product',
    description:
      'The request names the version of the product that it is based on, as `version` or in If-Match. If-Match must name the current version. With `version`, an update that sets `stock` is refused after any later change of the product. An update that does not set `stock` is refused only after a later change of name, description or price.',
    security: bearer,
    request: { params, headers: preconditions, body: body(productUpdate) },
    responses: {
      200: { description: 'The product after the update', headers: etagHeader, content: json(product) },
      ...errors(
        ...withBody,
        ...admin,
        'product_not_found',
        'version_conflict',
        'precondition_failed',
        'precondition_required',
        'overloaded',
      ),
    },
  }),
  changeStock: createRoute({
    method: 'post',
    path: '/products/{id}/stock',
    tags,
    summary: 'Change the stock of a product',
    security: bearer,
    request: { params, headers: z.object({ 'Idempotency-Key': idempotencyKey }), body: body(stockChange) },
    responses: {
      200: {
        description: 'The product after the change',
        headers: { ...etagHeader, ...replayedHeader },
        content: json(product),
      },
      ...errors(
        ...withBody,
        ...admin,
        'product_not_found',
        'insufficient_stock',
        'idempotency_key_reused',
        'overloaded',
      ),
    },
  }),
  deleteProduct: createRoute({
    method: 'delete',
    path: '/products/{id}',
    tags,
    summary: 'Delete a product',
    description:
      'Clients can no longer read or buy the product. Existing orders keep their copy of its name and price, and can still be cancelled.',
    security: bearer,
    request: { params, headers: preconditions },
    responses: {
      204: { description: 'The product is deleted' },
      ...errors('validation_failed', ...admin, 'product_not_found', 'precondition_failed'),
    },
  }),
}
