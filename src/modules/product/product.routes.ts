import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { validationFailed } from '#kernel/errors.ts'
import type { AppEnv } from '#kernel/http/app-env.ts'
import type { Guard } from '#kernel/http/auth-guard.ts'
import { cacheControl, respondWith, respondWithVersion } from '#kernel/http/caching.ts'
import { decodeCursor } from '#kernel/http/paging.ts'
import { etag, preconditionsOf } from '#kernel/http/preconditions.ts'
import { jsonOf } from '#kernel/http/representation.ts'
import { respond, respondJson } from '#kernel/http/respond.ts'
import { createRouter } from '#kernel/http/router.ts'
import { id, idFormat } from '#kernel/schemas.ts'
import { productApi } from './product.api.ts'
import type { ProductService } from './product.service.ts'
import { type ProductResponse, productResponse } from './product.ts'
import { decodePosition } from './product-cursor.schemas.ts'
import type { StockChangeAnswer } from './stock/stock-changes.ts'

export function productRoutes(service: ProductService, guard: Guard, currency: string) {
  const router = createRouter()

  for (const route of [productApi.createProduct, productApi.createProductAlias]) {
    router.openapi({ ...route, middleware: guard('admin') }, async (c) => {
      const key = c.req.valid('header')['Idempotency-Key']
      const answer = await service.create(c.req.valid('json'), key, c.get('principal'), c.get('call'))
      const product = productOf(c, answer)
      const location = `/products/${product.productId}`
      return respondJson(c, product, 201, { etag: etag(product.version), location })
    })
  }

  router.openapi(productApi.listProducts, async (c) => {
    const { limit, cursor, q, sort, ...filters } = c.req.valid('query')
    const list =
      q === undefined
        ? { ...filters, sort: sort ?? ('newest' as const) }
        : { ...filters, q, sort: sort ?? ('best' as const) }
    const after = cursor === undefined ? undefined : decodePosition(list, cursor)
    return respondWith(
      c,
      await service.list({ ...list, after, limit }, c.get('call')),
      cacheControl.revalidated,
    )
  })

  const get = async (c: Context<AppEnv>, id: string) => {
    const product = await service.get(id, c.get('call'))
    return respondWithVersion(
      c,
      product.version,
      () => productResponse(product, currency),
      cacheControl.revalidated,
    )
  }
  // Most requests need no check beyond the id. They skip the validators, which would be a third of the work for a read.
  router.get('/products/:id', (c, next) => {
    const id = c.req.param('id')
    return idFormat.test(id) && !c.req.url.includes('?') ? get(c, id) : next()
  })
  router.openapi(productApi.getProduct, (c) => get(c, c.req.valid('param').id))

  for (const route of [productApi.updateProduct, productApi.patchProduct]) {
    router.openapi({ ...route, middleware: guard('admin') }, async (c) => {
      const { id } = c.req.valid('param')
      const {
        productId,
        currency: given,
        createdAt: _createdAt,
        updatedAt: _updatedAt,
        ...update
      } = c.req.valid('json')
      refuseOthers({ productId, currency: given }, { productId: id, currency })
      const conditions = preconditionsOf(c.req.valid('header'))
      const product = await service.update(
        id,
        { ...update, ...conditions },
        c.get('principal'),
        c.get('call'),
      )
      return respondJson(c, productResponse(product, currency), 200, { etag: etag(product.version) })
    })
  }

  addStockRoutes(router, service, guard)

  router.openapi({ ...productApi.deleteProduct, middleware: guard('admin') }, async (c) => {
    await service.remove(c.req.valid('param').id, preconditionsOf(c.req.valid('header')), c.get('call'))
    return respond(c, null, 204)
  })

  return router
}

function addStockRoutes(
  router: ReturnType<typeof createRouter>,
  service: ProductService,
  guard: Guard,
): void {
  router.openapi({ ...productApi.changeStock, middleware: guard('admin') }, async (c) => {
    const key = c.req.valid('header')['Idempotency-Key']
    const change = { ...c.req.valid('json'), key }
    const { id } = c.req.valid('param')
    const answer = await service.changeStock(id, change, c.get('principal'), c.get('call'))
    const product = productOf(c, answer)
    return respondJson(c, product, 200, { etag: etag(product.version) })
  })

  router.openapi({ ...productApi.listStockChanges, middleware: guard('admin') }, async (c) => {
    const { id } = c.req.valid('param')
    const { limit, cursor } = c.req.valid('query')
    const after = cursor === undefined ? undefined : decodeLedgerPlace(id, cursor)
    return respondWith(
      c,
      jsonOf(await service.listStockChanges({ productId: id, after, limit }, c.get('call'))),
    )
  })
}

/** A cursor of a list of stock changes is only valid for the same product. */
function decodeLedgerPlace(productId: string, cursor: string) {
  const [, at, entryId] = decodeCursor(z.tuple([z.literal(productId), z.iso.datetime(), id]), cursor)
  return { at: new Date(at), id: entryId }
}

/** The product of an answer that may be repeated. It throws the refusal if there is one. */
function productOf(c: Context<AppEnv>, { product, refusal, replayed }: StockChangeAnswer): ProductResponse {
  if (replayed) c.get('headers')['idempotent-replayed'] = 'true'
  if (!product) throw refusal
  return product
}

type FixedFields = Record<'productId' | 'currency', string>

/** @throws DomainError `validation_failed` if a field that no client can change has another value than the product */
function refuseOthers(
  given: { [Field in keyof FixedFields]: string | undefined },
  product: FixedFields,
): void {
  const faults = (['productId', 'currency'] as const)
    .filter((field) => given[field] !== undefined && given[field] !== product[field])
    .map((field) => ({
      pointer: `/${field}`,
      code: 'rule' as const,
      message: `must be ${product[field]}, as in the product, or be left out`,
    }))
  if (faults.length > 0) throw validationFailed(...faults)
}
