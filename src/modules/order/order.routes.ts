import { z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { isDomainError } from '#kernel/errors.ts'
import type { AppEnv } from '#kernel/http/app-env.ts'
import type { Guard } from '#kernel/http/auth-guard.ts'
import { respondWith, respondWithVersion } from '#kernel/http/caching.ts'
import { decodeCursor, encodeCursor } from '#kernel/http/paging.ts'
import { etag, preconditionsOf } from '#kernel/http/preconditions.ts'
import { jsonOf } from '#kernel/http/representation.ts'
import { respondJson } from '#kernel/http/respond.ts'
import { createRouter } from '#kernel/http/router.ts'
import { id } from '#kernel/schemas.ts'
import { orderApi } from './order.api.ts'
import type { OrderService } from './order.service.ts'
import { type Order, orderResponse, statusChangeResponse } from './order.ts'
import type { OrderFilters, Position, SortOrder } from './order-list.ts'

/** The number of entries on all previous pages. The entries of an order keep their places. */
const historyCursor = (orderId: string) => z.tuple([z.literal(orderId), z.int().min(1)])

export function orderRoutes(service: OrderService, guard: Guard, currency: string) {
  const router = createRouter()
  addReads(router, service, guard, currency)
  addWrites(router, service, guard, currency)
  return router
}

type Router = ReturnType<typeof createRouter>

function addReads(router: Router, service: OrderService, guard: Guard, currency: string): void {
  const middleware = guard('customer')

  router.openapi({ ...orderApi.listOrders, middleware }, async (c) => {
    const { sort, limit, cursor, ...filters } = c.req.valid('query')
    const after = cursor === undefined ? undefined : decodePosition([sort, filters], cursor)
    const read = sort === 'updated' ? service.follow : service.list
    const { data, next } = await read(filters, { after, limit }, c.get('principal'), c.get('call'))
    const nextCursor = next ? encodePosition([sort, filters], next) : null
    return respondWith(c, jsonOf({ data: data.map((order) => orderResponse(order, currency)), nextCursor }))
  })

  router.openapi({ ...orderApi.getOrder, middleware }, async (c) => {
    const order = await service.find(c.req.valid('param').id, c.get('principal'), c.get('call'))
    return respondWithVersion(c, order.version, () => orderResponse(order, currency))
  })

  router.openapi({ ...orderApi.listOrderHistory, middleware }, async (c) => {
    const { id } = c.req.valid('param')
    const { limit, cursor } = c.req.valid('query')
    const [, skip] = cursor === undefined ? [id, 0] : decodeCursor(historyCursor(id), cursor)
    const page = await service.history(id, { skip, limit }, c.get('principal'), c.get('call'))
    return respondWith(c, jsonOf({ ...page, data: page.data.map(statusChangeResponse) }))
  })
}

function addWrites(router: Router, service: OrderService, guard: Guard, currency: string): void {
  const middleware = guard('customer')

  /** Answers 202 while the stock of a cancelled order is still held. */
  const respondChanged = (c: Context<AppEnv>, order: Order) =>
    respondJson(c, orderResponse(order, currency), order.status === 'cancelling' ? 202 : 200, {
      etag: etag(order.version),
    })

  for (const route of [orderApi.placeOrder, orderApi.placeOrderAlias]) {
    router.openapi({ ...route, middleware }, async (c) => {
      const { userId } = c.get('principal')
      const key = c.req.valid('header')['Idempotency-Key']
      const lines = c.req.valid('json').productList
      const placing = service.place({ userId, key, lines }, c.get('call'))
      const { order, refusal, replayed } = await locateUnsettled(c, placing)
      if (replayed) c.get('headers')['idempotent-replayed'] = 'true'
      if (!order) throw refusal
      const location = `/orders/${order.orderId}`
      return respondJson(c, orderResponse(order, currency), 201, { etag: etag(order.version), location })
    })
  }

  for (const route of [orderApi.updateOrder, orderApi.patchOrder]) {
    router.openapi({ ...route, middleware }, async (c) => {
      const { status } = c.req.valid('json')
      const conditions = preconditionsOf(c.req.valid('header'))
      const { id } = c.req.valid('param')
      const order = await service.changeStatus(id, status, conditions, c.get('principal'), c.get('call'))
      return respondChanged(c, order)
    })
  }

  router.openapi({ ...orderApi.cancelOrder, middleware }, async (c) => {
    const conditions = preconditionsOf(c.req.valid('header'))
    const { id } = c.req.valid('param')
    const order = await service.changeStatus(id, 'cancelled', conditions, c.get('principal'), c.get('call'))
    return respondChanged(c, order)
  })
}

/** A cursor is valid only for the sort and the filters of its own list. */
type List = [sort: SortOrder, filters: OrderFilters]

// Replicas of earlier versions read a fourth member. It is true where their read can be simpler.
const encodePosition = (list: List, { at, id }: Position): string =>
  encodeCursor([JSON.stringify(list), at, id, false])

function decodePosition(list: List, cursor: string): Position {
  const schema = z.tuple([z.literal(JSON.stringify(list)), z.iso.datetime(), id, z.boolean()])
  const [, at, orderId] = decodeCursor(schema, cursor)
  return { at: new Date(at), id: orderId }
}

/** Names the order in Location if the answer leaves its outcome open, so that the client can look it up or cancel it. */
async function locateUnsettled<Result>(c: Context<AppEnv>, placing: Promise<Result>): Promise<Result> {
  try {
    return await placing
  } catch (error) {
    const orderId = isDomainError(error) ? error.members.orderId : undefined
    if (typeof orderId === 'string') c.get('headers').location = `/orders/${orderId}`
    throw error
  }
}
