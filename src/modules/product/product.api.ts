import { createRoute, z } from '@hono/zod-openapi'
import {
  adminBearer,
  body,
  compressibleHeaders,
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
import { errors } from './problems.ts'
import { productExamples as examples } from './product.examples.ts'
import {
  product,
  productDraft,
  productPage,
  productUpdate,
  stockAdjustment,
  stockChangePage,
} from './product.schemas.ts'
import { listQuery } from './product-list.schemas.ts'

const tags = ['Products']
const admin = [...signedIn, 'forbidden'] as const

/** @param example the id of a product of the demo */
const paramsWith = (example: string) =>
  z.object({ id: id.openapi({ param: { name: 'id', in: 'path' }, example }) })

const createProduct = createRoute({
  method: 'post',
  path: '/products',
  tags,
  summary: 'Create a product',
  description:
    'Only an admin may create a product. With an Idempotency-Key, a request that is sent again creates no second product. A key that was used for a stock change cannot be used here.',
  security: adminBearer,
  request: {
    headers: z.object({ 'Idempotency-Key': idempotencyKey }),
    body: body(productDraft, examples.draft),
  },
  responses: {
    201: {
      description: 'The new product.',
      headers: { ...etagHeader, ...locationHeader, ...replayedHeader },
      content: json(product, examples.created),
      links: {
        placeOrder: {
          operationId: 'placeOrder',
          description: 'Order the product: send the `productId` of this answer in `productList`.',
        },
      },
    },
    ...errors(...withBody, ...admin, 'idempotency_key_reused'),
  },
})

const updateProduct = createRoute({
  method: 'put',
  path: '/products/{id}',
  tags,
  summary: 'Update a product',
  description:
    'Only an admin may update a product. The request names the version that the update is based on, as `version` in the body or as an entity tag in If-Match. If-Match must name the current version. With `version`, an update that sets `stock` is refused if the product has changed in any way since that version. An update that does not set `stock` is refused only if the name, the description or the price has changed since that version.',
  security: adminBearer,
  request: {
    params: paramsWith(examples.updated.productId),
    headers: preconditions,
    body: body(productUpdate, examples.update),
  },
  responses: {
    200: {
      description: 'The product after the update.',
      headers: etagHeader,
      content: json(product, examples.updated),
    },
    ...errors(
      ...withBody,
      ...admin,
      'product_not_found',
      'version_conflict',
      'precondition_failed',
      'precondition_required',
    ),
  },
})

export const productApi = {
  createProduct,
  createProductAlias: createRoute({
    ...createProduct,
    path: '/products/create_product',
    summary: 'Create a product (alias)',
    description: 'An alias of `POST /products`, with the same requests and answers.',
  }),
  listProducts: createRoute({
    method: 'get',
    path: '/products',
    tags,
    summary: 'List products',
    description:
      'Deleted products are not listed. All filters can be combined with each other and with every `sort`. A cursor is valid only with the filters and the `sort` that it was made with. The server filters a limited number of products for a page, so that a page may be shorter than `limit`, or empty, although more products follow. Only a `nextCursor` of null means the end of the list.',
    request: {
      query: listQuery,
    },
    responses: {
      200: {
        description: 'A page of products.',
        headers: compressibleHeaders,
        content: json(productPage, examples.page),
      },
      ...errors('validation_failed'),
    },
  }),
  getProduct: createRoute({
    method: 'get',
    path: '/products/{id}',
    tags,
    summary: 'Read a product',
    description: 'Reading needs no account. A deleted product is answered 404.',
    request: { params: paramsWith(examples.read.productId) },
    responses: {
      200: { description: 'The product.', headers: etagHeader, content: json(product, examples.read) },
      ...errors('validation_failed', 'product_not_found'),
    },
  }),
  updateProduct,
  patchProduct: createRoute({
    ...updateProduct,
    method: 'patch',
    summary: 'Update a product (PATCH)',
    description:
      'Does what `PUT` does, with the same body. The body may also be sent as a merge patch (RFC 7396). No field of a product can be removed, so that `null` is refused. To remove the description, send an empty string.',
    request: {
      params: paramsWith(examples.patched.productId),
      headers: preconditions,
      body: patchBody(productUpdate, examples.patch),
    },
    responses: {
      ...updateProduct.responses,
      200: { ...updateProduct.responses[200], content: json(product, examples.patched) },
    },
  }),
  changeStock: createRoute({
    method: 'post',
    path: '/products/{id}/stock',
    tags,
    summary: 'Change the stock of a product',
    description:
      'Only an admin may change the stock. A change is added to the stock, or subtracted from it if it is negative. It needs no version, because two changes at the same time both count. The stock ledger keeps each change with its time, its reason and the admin.',
    security: adminBearer,
    request: {
      params: paramsWith(examples.adjusted.productId),
      headers: z.object({ 'Idempotency-Key': idempotencyKey }),
      body: body(stockAdjustment, examples.adjustment),
    },
    responses: {
      200: {
        description: 'The product after the change.',
        headers: { ...etagHeader, ...replayedHeader },
        content: json(product, examples.adjusted),
      },
      ...errors(...withBody, ...admin, 'product_not_found', 'insufficient_stock', 'idempotency_key_reused'),
    },
  }),
  listStockChanges: createRoute({
    method: 'get',
    path: '/products/{id}/stock',
    tags,
    summary: 'List the changes to the stock of a product, newest first',
    description:
      'Only an admin may read this list, the stock ledger. It has every change by an admin or by the program itself. It does not have the stock that orders reserve and release, so that the `stock` of two entries can differ by more than their `change`. The list of a deleted product can still be read.',
    security: adminBearer,
    request: {
      params: paramsWith(examples.adjusted.productId),
      query: z.object({ limit, cursor }),
    },
    responses: {
      200: {
        description: 'A page of stock changes.',
        headers: etagHeader,
        content: json(stockChangePage, examples.stockChanges),
      },
      ...errors('validation_failed', ...admin, 'product_not_found'),
    },
  }),
  deleteProduct: createRoute({
    method: 'delete',
    path: '/products/{id}',
    tags,
    summary: 'Delete a product',
    description:
      'Only an admin may delete a product. Clients can then no longer read or order the product. Existing orders keep their copy of its name and price, and can still be cancelled.',
    security: adminBearer,
    request: { params: paramsWith(examples.deleted.productId), headers: preconditions },
    responses: {
      204: { description: 'The product is deleted.' },
      ...errors('validation_failed', ...admin, 'product_not_found', 'precondition_failed'),
    },
  }),
}
