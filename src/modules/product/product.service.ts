import { createHash } from 'node:crypto'
import { coalesceReads } from '#kernel/batching.ts'
import type { Call } from '#kernel/call.ts'
import { retryCompareAndSet } from '#kernel/compare-and-set.ts'
import { DomainError, validationFailed } from '#kernel/errors.ts'
import { type Page, pageOf } from '#kernel/http/paging.ts'
import { checkPreconditions, nameVersions, type Preconditions } from '#kernel/http/preconditions.ts'
import type { Principal } from '#kernel/principal.ts'
import { type ProductRepository, positionOf } from './product.repository.ts'

import {
  type Position,
  type Product,
  type ProductRepresentation,
  representation,
  type SortOrder,
  stockBound,
} from './product.ts'
import { answerIdOf, type KeyedAnswer } from './stock/stock.ts'

import type { StockTurn } from './stock/stock-batch.ts'
import type { StockTurns } from './stock/stock-queue.ts'

export interface NewProduct {
  name: string
  description: string
  /** Minor units. */
  price: number
  stock: number
}

/** The fields to change, and the versions that the change is based on. */
export interface ProductUpdate extends Partial<NewProduct>, Preconditions {
  version?: number | undefined
}

export interface StockChange {
  /** Positive: put in. Negative: taken out. */
  change: number
  reason: string
  key?: string | undefined
}

export interface ListQuery {
  sort: SortOrder
  after: Position | undefined
  limit: number
}

// How many may wait for one list.
const waitingLists = 10_000
// Admins edit a product by hand, so more lost compare-and-sets than this point to another fault.
const maxAttempts = 20

export type ProductService = ReturnType<typeof createProductService>

export function createProductService(options: {
  products: ProductRepository
  newId: () => string
  turns: StockTurns
}) {
  const { products, newId, turns } = options

  const found = async (productId: string, call: Call): Promise<Product> => {
    const product = await products.find(productId, call)
    if (!product) throw notFound(productId)
    return product
  }

  const existing = (product: Product | undefined, productId: string): Product => {
    if (!product) throw notFound(productId)
    return product
  }

  const list = coalesceReads<ListQuery, Page<ProductRepresentation>>(
    { name: 'the list of products', maxWaiting: waitingLists, keyOf: (query) => JSON.stringify(query) },
    async (query, call) => {
      const rows = await products.list({ ...query, limit: query.limit + 1 }, call)
      const page = pageOf(rows, query.limit, (last) => [query.sort, positionOf(last, query.sort)])
      return { ...page, data: page.data.map(representation) }
    },
  )

  return {
    get: found,

    /** Equal ones that wait share one query. */
    list,

    create: (product: NewProduct, by: Principal, call: Call): Promise<Product> =>
      turns(
        {
          lines: 1,
          reads: {},
          decide(turn) {
            const created = turn.add({ productId: newId(), ...product })
            const { productId, stock } = created
            turn.record({ productId, change: stock, stock, by: by.userId, reason: 'created' })
            return created
          },
        },
        call,
      ),

    async update(productId: string, update: ProductUpdate, by: Principal, call: Call): Promise<Product> {
      const { version: _version, ifMatch: _ifMatch, ifNoneMatch, stock: newStock, ...content } = update
      // What If-None-Match forbids is refused for that, once the version is known.
      if (ifNoneMatch === undefined) requireVersion(update)
      if (newStock === undefined) {
        return retryCompareAndSet({ subject: 'product', maxAttempts }, async () => {
          const current = await found(productId, call)
          checkBase(current, update)
          const change = differences(current, content)
          if (Object.keys(change).length === 0) return current
          return products.changeContent(current, change, nameVersions(update), call)
        })
      }
      return turns(
        {
          lines: 1,
          reads: { productIds: [productId] },
          decide(turn) {
            // Shown in any case: as it was, as it is then, or in the refusal.
            const current = existing(turn.show(productId), productId)
            checkBase(current, update)
            const change = differences(current, content)
            const moved = newStock - current.stock
            if (moved !== 0 || Object.keys(change).length > 0) turn.restock(productId, moved, change)
            if (moved !== 0) {
              const reason = 'stock set by an update'
              turn.record({ productId, change: moved, stock: newStock, by: by.userId, reason })
            }
            return existing(turn.show(productId), productId)
          },
        },
        call,
      )
    },

    /**
     * A keyed change is answered once: with `replayed`, this is the answer that an earlier request got.
     * @returns the product, or the refusal `insufficient_stock`
     */
    changeStock: (
      productId: string,
      { change, reason, key }: StockChange,
      by: Principal,
      call: Call,
    ): Promise<{ product?: ProductRepresentation; refusal?: DomainError; replayed: boolean }> => {
      const hash = createHash('sha256')
        .update(JSON.stringify([productId, change, reason]))
        .digest('hex')
      const answerId = key === undefined ? undefined : answerIdOf(by.userId, key)
      const move = (turn: StockTurn): KeyedAnswer => {
        const current = existing(turn.product(productId), productId)
        const after = current.stock + change
        if (after < 0) return { hash, rejection: shortOf(current, change) }
        if (after > stockBound) {
          const message = `must not raise the stock (${current.stock}) above ${stockBound}`
          throw validationFailed({ pointer: '/change', message })
        }
        turn.restock(productId, change)
        turn.record({ productId, change, stock: after, by: by.userId, reason })
        return { hash, product: representation(existing(turn.show(productId), productId)) }
      }

      return turns(
        {
          lines: 1,
          reads: { productIds: [productId], answerId, isNew: true },
          decide(turn) {
            const known = answerId === undefined ? undefined : turn.answer(answerId)
            if (known && known.hash !== hash) throw keyReused()
            const answer = known ?? move(turn)
            if (!known && answerId !== undefined) turn.keepAnswer(answerId, answer)
            const { product, rejection } = answer
            const replayed = known !== undefined
            if (product) return { product, replayed }
            const { message = '', members } = rejection ?? {}
            return { refusal: new DomainError('insufficient_stock', message, members), replayed }
          },
        },
        call,
      )
    },

    async remove(productId: string, conditions: Preconditions, call: Call): Promise<void> {
      await retryCompareAndSet({ subject: 'product', maxAttempts }, async () => {
        const current = await found(productId, call)
        checkPreconditions(conditions, current.version)
        const version = nameVersions(conditions) ? current.version : undefined
        const done = await products.markDeleted(productId, version, call)
        return done || undefined
      })
    },
  }
}

const notFound = (productId: string) =>
  new DomainError('product_not_found', `there is no product ${productId}`)

const keyReused = () =>
  new DomainError(
    'idempotency_key_reused',
    'Idempotency-Key: was used for another stock change; repeat that one unchanged, or use a new key',
  )

function requireVersion({ version, ifMatch }: ProductUpdate): void {
  if (version !== undefined || ifMatch !== undefined) return
  throw new DomainError(
    'precondition_required',
    'version: send the version that you read, or an If-Match header',
  )
}

/**
 * If-Match names the exact version. A `version` in the body is stale for an update that sets `stock` as soon as
 * anything has changed, so that it never overwrites a reservation; for any other once the content has changed.
 */
function checkBase(current: Product, update: ProductUpdate): void {
  checkPreconditions(update, current.version)
  requireVersion(update)
  const { version, stock } = update
  if (version === undefined) return
  const oldest = stock === undefined ? current.contentVersion : current.version
  if (version < oldest || version > current.version) {
    throw new DomainError(
      'version_conflict',
      `version: ${version} is not current; read the product again and repeat the change with version ${current.version}`,
      { currentVersion: current.version, current: representation(current) },
    )
  }
}

const differences = (current: Product, content: Partial<NewProduct>): Partial<NewProduct> =>
  Object.fromEntries(
    Object.entries(content).filter(
      ([field, value]) => value !== undefined && value !== current[field as keyof Product],
    ),
  )

const shortOf = (current: Product, change: number) => ({
  message: `change: would take ${-change} of ${current.stock} in stock`,
  members: { items: [{ productId: current.productId, requested: -change, available: current.stock }] },
})
