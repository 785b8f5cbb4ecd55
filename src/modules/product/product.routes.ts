import { z } from '@hono/zod-openapi'
import type { Guard } from '../../kernel/auth-guard.ts'
import { decodeCursor } from '../../kernel/cursor.ts'
import { validationFailed } from '../../kernel/errors.ts'
import { etag, notModified, parseIfMatch } from '../../kernel/preconditions.ts'
import { createRouter } from '../../kernel/router.ts'
import { id } from '../../kernel/schemas.ts'
import { productApi } from './product.api.ts'
import type { Position } from './product.repository.ts'
import type { ProductService } from './product.service.ts'
import { representation, type SortOrder } from './product.ts'

export function productRoutes(service: ProductService, guard: Guard) {
  const router = createRouter()

  router.openapi({ ...productApi.create, middleware: guard('admin') }, async (c) => {
    const product = await service.create(c.req.valid('json'), c.get('principal'), c.get('call'))
    c.header('ETag', etag(product.version))
    c.header('Location', `/products/${product.productId}`)
    return c.json(representation(product), 201)
  })

  // Routers know it without the trailing slash, under which it is served as well.
  router.openapi({ ...productApi.list, path: '/products' }, async (c) => {
    const { sort, limit = 20, cursor } = c.req.valid('query')
    const after = cursor === undefined ? undefined : decodePosition(sort, cursor)
    return c.json(await service.list({ sort, after, limit }, c.get('call')), 200)
  })

  router.openapi(productApi.get, async (c) => {
    const product = await service.get(c.req.valid('param').id, c.get('call'))
    if (notModified(c, product.version)) return c.body(null, 304)
    return c.json(representation(product), 200)
  })

  router.openapi({ ...productApi.update, middleware: guard('admin') }, async (c) => {
    const { id } = c.req.valid('param')
    const { productId, createdAt: _createdAt, updatedAt: _updatedAt, ...update } = c.req.valid('json')
    if (productId !== undefined && productId !== id) {
      throw validationFailed({
        pointer: '/productId',
        message: `must be ${id}, as in the path, or be left out`,
      })
    }
    const ifMatch = parseIfMatch(c.req.header('If-Match'))
    const product = await service.update(id, { ...update, ifMatch }, c.get('principal'), c.get('call'))
    c.header('ETag', etag(product.version))
    return c.json(representation(product), 200)
  })

  router.openapi({ ...productApi.changeStock, middleware: guard('admin') }, async (c) => {
    const key = c.req.valid('header')['Idempotency-Key']
    const change = { ...c.req.valid('json'), key }
    const { id } = c.req.valid('param')
    const { product, refusal, replayed } = await service.changeStock(
      id,
      change,
      c.get('principal'),
      c.get('call'),
    )
    if (replayed) c.header('Idempotent-Replayed', 'true')
    if (!product) throw refusal
    c.header('ETag', etag(product.version))
    return c.json(product, 200)
  })

  router.openapi({ ...productApi.remove, middleware: guard('admin') }, async (c) => {
    await service.remove(c.req.valid('param').id, parseIfMatch(c.req.header('If-Match')), c.get('call'))
    return c.body(null, 204)
  })

  return router
}

const keys = {
  newest: z.iso.datetime().transform((value) => new Date(value)),
  price: z.int(),
  '-price': z.int(),
  name: z.string(),
} satisfies Record<SortOrder, z.ZodType<Position['key']>>

/** A cursor goes on with the order that it was made in, and no other. */
function decodePosition(sort: SortOrder, cursor: string): Position {
  const position = z.strictObject({ key: keys[sort], productId: id })
  return decodeCursor(z.tuple([z.literal(sort), position]), cursor)[1]
}
