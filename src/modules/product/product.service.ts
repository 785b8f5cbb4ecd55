import type { Call } from '#kernel/call.ts'
import { coalesceReads } from '#kernel/coalesced-reads.ts'
import { retryCompareAndSet } from '#kernel/compare-and-set.ts'
import { type Page, pageOf } from '#kernel/http/paging.ts'
import { checkPreconditions, dependOnVersion, type Preconditions } from '#kernel/http/preconditions.ts'
import { jsonOf, type Representation } from '#kernel/http/representation.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { Principal } from '#kernel/principal.ts'
import { batchMetrics } from '#kernel/queue-metrics.ts'
import type { ProductRepository } from './product.repository.ts'
import { type Product, type ProductListQuery, type ProductResponse, productResponse } from './product.ts'
import { encodePosition } from './product-cursor.schemas.ts'
import {
  checkBase,
  contentChanges,
  type ProductUpdate,
  productNotFound,
  requireVersion,
} from './product-update.ts'
import type { Ledger, LedgerQuery } from './stock/ledger.repository.ts'
import { type StockChangeResponse, stockChangeResponse } from './stock/stock.ts'
import type { StockChanges } from './stock/stock-changes.ts'

const maxWaitingForList = 10_000
// Admins edit a product by hand, so more lost compare-and-sets than this point to another fault.
const maxAttempts = 20

export type ProductService = ReturnType<typeof createProductService>

export function createProductService(options: {
  products: ProductRepository
  ledger: Ledger
  stockChanges: StockChanges
  currency: string
  metrics: Metrics
}) {
  const { products, ledger, stockChanges, currency, metrics } = options

  const get = async (productId: string, call: Call): Promise<Product> => {
    const product = await products.find(productId, call)
    if (!product) throw productNotFound(productId)
    return product
  }

  return {
    get,

    /** Requests with the same query that wait share one read. */
    list: createList(products, currency, metrics),

    create: stockChanges.createProduct,

    /** Creates all the products in one transaction, or none if there is any product. */
    async createFirst(catalogue: Parameters<StockChanges['createAll']>[0], by: Principal, call: Call) {
      if (await products.isEmpty(call)) await stockChanges.createAll(catalogue, by, call)
    },

    async update(productId: string, update: ProductUpdate, by: Principal, call: Call): Promise<Product> {
      // If the request has If-None-Match, `checkBase` checks that header before it requires a version.
      if (update.ifNoneMatch === undefined) requireVersion(update)
      const { stock } = update
      if (stock !== undefined) return stockChanges.update(productId, { ...update, stock }, by, call)
      return retryCompareAndSet({ subject: 'product', maxAttempts }, async () => {
        const current = await get(productId, call)
        checkBase(current, update, currency)
        const change = contentChanges(current, update)
        if (Object.keys(change).length === 0) return current
        return products.changeContent(current, change, { sameVersion: dependOnVersion(update) }, call)
      })
    },

    changeStock: stockChanges.changeStock,

    /**
     * Lists the changes of the stock of a product, newest first. The product may be deleted.
     * @throws DomainError `product_not_found`
     */
    async listStockChanges(query: LedgerQuery, call: Call): Promise<Page<StockChangeResponse>> {
      const { productId, after, limit } = query
      const entries = await ledger({ ...query, limit: limit + 1 }, call)
      const isUnknown = entries.length === 0 && !after && !(await products.exists(productId, call))
      if (isUnknown) throw productNotFound(productId)
      const page = pageOf(entries, limit, ({ id, at }) => [productId, at, id])
      return { ...page, data: page.data.map(stockChangeResponse) }
    },

    async remove(productId: string, conditions: Preconditions, call: Call): Promise<void> {
      await retryCompareAndSet({ subject: 'product', maxAttempts }, async () => {
        const current = await get(productId, call)
        checkPreconditions(conditions, current.version)
        const version = dependOnVersion(conditions) ? current.version : undefined
        const isDeleted = await products.markDeleted(productId, version, call)
        return isDeleted || undefined
      })
    },
  }
}

const createList = (products: ProductRepository, currency: string, metrics: Metrics) =>
  coalesceReads<ProductListQuery, Representation<Page<ProductResponse>>>(
    {
      name: 'the list of products',
      maxWaiting: maxWaitingForList,
      keyOf: (query) => JSON.stringify(query),
      isSlow: ({ q }) => q !== undefined,
      metrics: batchMetrics(metrics, 'products.list'),
    },
    async (query, call) => {
      const { products: rows, next } = await products.list(query, call)
      const nextCursor = next ? encodePosition(query, next) : null
      return jsonOf({ data: rows.map((row) => productResponse(row, currency)), nextCursor })
    },
  )
