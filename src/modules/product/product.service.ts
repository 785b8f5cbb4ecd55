import { createHash } from 'node:crypto'
import type { Call } from '../../kernel/call.ts'
import { type Page, pageOf } from '../../kernel/cursor.ts'
import { DomainError, dependencyUnavailable, validationFailed } from '../../kernel/errors.ts'
import { checkIfMatch, type IfMatch } from '../../kernel/preconditions.ts'
import type { Principal } from '../../kernel/principal.ts'
import { type Position, type ProductRepository, positionOf } from './product.repository.ts'
import {
  type Product,
  type ProductRepresentation,
  representation,
  type SortOrder,
  stockBound,
} from './product.ts'
import type { KeyedAnswer, StockRepository, StockTransaction } from './stock.repository.ts'
import type { StockQueue } from './stock-queue.ts'

export interface NewProduct {
  name: string
  description: string
  /** Minor units. */
  price: number
  stock: number
}

/** The fields to change, and the versions that the change is based on. */
export interface ProductUpdate extends Partial<NewProduct> {
  version?: number | undefined
  ifMatch?: IfMatch | undefined
}

export interface StockChange {
  /** Positive: put in. Negative: taken out. */
  change: number
  reason: string
  key?: string | undefined
}

// A compare-and-set that is lost this often on one product meets more writers than people can be.
const attempts = 20

export type ProductService = ReturnType<typeof createProductService>

export function createProductService(options: {
  products: ProductRepository
  stock: StockRepository
  queue: StockQueue
}) {
  const { products, stock, queue } = options

  const found = async (productId: string, call: Call): Promise<Product> => {
    const product = await products.find(productId, call)
    if (!product) throw notFound(productId)
    return product
  }

  /** What moves stock reads, decides and writes within its turn: those who wait with it cannot come between. */
  const moveStock = <T>(call: Call, work: (transaction: StockTransaction) => Promise<T>): Promise<T> =>
    queue(call, () => stock.transaction(call, work))

  const existing = async (transaction: StockTransaction, productId: string): Promise<Product> => {
    const [product] = await transaction.products([productId])
    if (!product) throw notFound(productId)
    return product
  }

  /** Reads, decides and compares-and-sets until nobody came between. */
  const untilSettled = async <T>(attempt: () => Promise<T | undefined>): Promise<T> => {
    for (let tries = 0; tries < attempts; tries++) {
      const result = await attempt()
      if (result !== undefined) return result
    }
    throw dependencyUnavailable('the product changes too often just now; try again')
  }

  return {
    get: found,

    async list(
      query: { sort: SortOrder; after: Position | undefined; limit: number },
      call: Call,
    ): Promise<Page<ProductRepresentation>> {
      const rows = await products.list({ ...query, limit: query.limit + 1 }, call)
      const page = pageOf(rows, query.limit, (last) => [query.sort, positionOf(last, query.sort)])
      return { ...page, data: page.data.map(representation) }
    },

    create: (product: NewProduct, by: Principal, call: Call): Promise<Product> =>
      moveStock(call, async (transaction) => {
        const at = new Date()
        const created = await transaction.addProduct({ ...product, createdAt: at, updatedAt: at })
        const { productId, stock } = created
        await transaction.record({ productId, change: stock, stock, by: by.userId, reason: 'created' })
        return created
      }),

    async update(productId: string, update: ProductUpdate, by: Principal, call: Call): Promise<Product> {
      const { version, ifMatch, stock: newStock, ...content } = update
      if (version === undefined && ifMatch === undefined) {
        throw new DomainError(
          'precondition_required',
          'version: send the version that you read, or an If-Match header',
        )
      }
      if (newStock === undefined) {
        return untilSettled(async () => {
          const current = await found(productId, call)
          checkPreconditions(current, update)
          const change = differences(current, content)
          if (Object.keys(change).length === 0) return current
          const exactly = ifMatch !== undefined && ifMatch !== '*'
          return products.changeContent(current, change, exactly, call)
        })
      }
      return moveStock(call, async (transaction) => {
        const current = await existing(transaction, productId)
        checkPreconditions(current, update)
        const change = differences(current, content)
        const moved = newStock - current.stock
        if (moved === 0 && Object.keys(change).length === 0) return current
        const changed = await transaction.restock(current, moved, change)
        if (moved !== 0) {
          const reason = 'stock set by an update'
          await transaction.record({ productId, change: moved, stock: newStock, by: by.userId, reason })
        }
        return changed
      })
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
      const decide = async (transaction: StockTransaction): Promise<Omit<KeyedAnswer, 'hash'>> => {
        const current = await existing(transaction, productId)
        const after = current.stock + change
        if (after < 0) return { rejection: shortOf(current, change) }
        if (after > stockBound) {
          const message = `must not raise the stock (${current.stock}) above ${stockBound}`
          throw validationFailed({ pointer: '/change', message })
        }
        const changed = await transaction.restock(current, change)
        await transaction.record({ productId, change, stock: after, by: by.userId, reason })
        return { product: representation(changed) }
      }

      return moveStock(call, async (transaction) => {
        const known = key === undefined ? undefined : await transaction.keyedAnswer(by.userId, key)
        if (known && known.hash !== hash) throw keyReused()
        const answer = known ?? (await decide(transaction))
        if (!known && key !== undefined) await transaction.addKeyedAnswer(by.userId, key, { hash, ...answer })
        const { product, rejection } = answer
        const replayed = known !== undefined
        if (product) return { product, replayed }
        const { message = '', members } = rejection ?? {}
        return { refusal: new DomainError('insufficient_stock', message, members), replayed }
      })
    },

    async remove(productId: string, ifMatch: IfMatch | undefined, call: Call): Promise<void> {
      await untilSettled(async () => {
        const current = await found(productId, call)
        checkIfMatch(ifMatch, current.version)
        const exactly = ifMatch !== undefined && ifMatch !== '*'
        const done = await products.markDeleted(productId, exactly ? current.version : undefined, call)
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

/**
 * If-Match names the exact version. A `version` in the body is stale for an update that sets `stock` as soon as
 * anything has changed, so that it never overwrites a reservation; for any other once the content has changed.
 */
function checkPreconditions(current: Product, { version, ifMatch, stock }: ProductUpdate): void {
  checkIfMatch(ifMatch, current.version)
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
