import { hash } from 'node:crypto'
import type { Call } from '#kernel/call.ts'
import { DomainError, validationFailed } from '#kernel/errors.ts'
import type { Principal } from '#kernel/principal.ts'
import { maxStock, type NewProduct, type Product, type ProductResponse, productResponse } from '../product.ts'
import { checkBase, contentChanges, type ProductUpdate, productNotFound } from '../product-update.ts'
import { answerIdOf, type KeyedAnswer } from './stock.ts'
import type { StockBatch } from './stock-operation.ts'
import type { RunInBatch } from './stock-queue.ts'

export interface StockChange {
  /** Positive: put in. Negative: taken out. */
  change: number
  reason: string
  /** The idempotency key. */
  key?: string | undefined
}

/**
 * The product, or the refusal `insufficient_stock` of a stock change. `replayed` is true if an earlier request with the same key
 * got this answer.
 */
export interface StockChangeAnswer {
  product?: ProductResponse
  refusal?: DomainError
  replayed: boolean
}

/** The changes of stock that admins request. They share the queue with reservations. */
export type StockChanges = ReturnType<typeof createStockChanges>

export function createStockChanges(options: {
  newId: () => string
  runInBatch: RunInBatch
  currency: string
}) {
  const { newId, runInBatch, currency } = options
  const runOnce = createRunOnce(runInBatch, currency)

  return {
    /** @param key the idempotency key */
    createProduct(
      product: NewProduct,
      key: string | undefined,
      by: Principal,
      call: Call,
    ): Promise<StockChangeAnswer> {
      const { name, description, price, stock } = product
      const content = ['create', name, description, price, stock]
      return runOnce({ productIds: [], key, content }, by, call, (batch) => {
        const created = addProduct(batch, { productId: newId(), ...product }, by)
        return { product: productResponse(created, currency) }
      })
    },

    /** Creates products with given ids in one transaction, unless one of them exists. */
    createAll: (
      products: readonly (NewProduct & { productId: string })[],
      by: Principal,
      call: Call,
    ): Promise<void> =>
      runInBatch(
        {
          lineCount: products.length,
          reads: { productIds: products.map(({ productId }) => productId) },
          decide(batch) {
            if (products.some(({ productId }) => batch.findProduct(productId))) return
            for (const product of products) addProduct(batch, product, by)
          },
        },
        call,
      ),

    /** Updates a product, and sets its stock. */
    update: (
      productId: string,
      update: ProductUpdate & { stock: number },
      by: Principal,
      call: Call,
    ): Promise<Product> =>
      runInBatch(
        {
          lineCount: 1,
          reads: { productIds: [productId] },
          decide: (batch) => decideUpdate(batch, productId, update, by, currency),
        },
        call,
      ),

    changeStock(
      productId: string,
      request: StockChange,
      by: Principal,
      call: Call,
    ): Promise<StockChangeAnswer> {
      const content = [productId, request.change, request.reason]
      return runOnce({ productIds: [productId], key: request.key, content }, by, call, (batch) =>
        decideChange(batch, productId, request, by, currency),
      )
    },
  }
}

interface KeyedRequest {
  productIds: readonly string[]
  /** The idempotency key. */
  key: string | undefined
  /** Identifies the operation and the content of the request. */
  content: readonly unknown[]
}

/** Creates the function that runs an operation in a batch, and only once for each idempotency key of a user. */
const createRunOnce =
  (runInBatch: RunInBatch, currency: string) =>
  (
    { productIds, key, content }: KeyedRequest,
    by: Principal,
    call: Call,
    decide: (batch: StockBatch) => Decision,
  ): Promise<StockChangeAnswer> => {
    const answerId = key === undefined ? undefined : answerIdOf(by.userId, key)
    return runInBatch(
      {
        lineCount: 1,
        reads: { productIds, answerId, assumesNew: true },
        decide: (batch) => decideOnce(batch, answerId, content, () => decide(batch), currency),
      },
      call,
    )
  }

function addProduct(batch: StockBatch, product: NewProduct & { productId: string }, by: Principal): Product {
  const { productId, stock } = product
  batch.addLedgerEntry({ productId, change: stock, stock, by: by.userId, reason: 'created' })
  return batch.addProduct(product)
}

function decideUpdate(
  batch: StockBatch,
  productId: string,
  update: ProductUpdate & { stock: number },
  by: Principal,
  currency: string,
): Product {
  // The client learns this version from a refusal, or from the next version, which this update makes.
  const current = existing(batch.showProduct(productId), productId)
  checkBase(current, update, currency)
  const content = contentChanges(current, update)
  const change = update.stock - current.stock
  if (change !== 0 || Object.keys(content).length > 0) batch.changeProduct(productId, change, content)
  if (change !== 0) {
    const reason = 'stock set by an update'
    batch.addLedgerEntry({ productId, change, stock: update.stock, by: by.userId, reason })
  }
  return existing(batch.showProduct(productId), productId)
}

type Decision = Pick<KeyedAnswer, 'product' | 'rejection'>

/** @throws DomainError `validation_failed` if the stock would exceed its maximum */
function decideChange(
  batch: StockBatch,
  productId: string,
  { change, reason }: StockChange,
  by: Principal,
  currency: string,
): Decision {
  const current = existing(batch.findProduct(productId), productId)
  const stock = current.stock + change
  if (stock < 0) return { rejection: insufficientStock(current, change) }
  if (stock > maxStock) {
    const message = `must not raise the stock (${current.stock}) above ${maxStock}`
    throw validationFailed({ pointer: '/change', code: 'max', message })
  }
  batch.changeProduct(productId, change)
  batch.addLedgerEntry({ productId, change, stock, by: by.userId, reason })
  return { product: productResponse(existing(batch.showProduct(productId), productId), currency) }
}

/**
 * Answers a repeated request with the stored answer, and stores the answer of a new one.
 * @param answerId undefined: the request has no idempotency key
 * @param content identifies the operation and the content of the request
 */
function decideOnce(
  batch: StockBatch,
  answerId: string | undefined,
  content: readonly unknown[],
  decide: () => Decision,
  currency: string,
): StockChangeAnswer {
  if (answerId === undefined) return { ...toAnswer(decide(), currency), replayed: false }
  const requestHash = hash('sha256', JSON.stringify(content))
  const stored = batch.findAnswer(answerId)
  if (stored && stored.hash !== requestHash) throw keyReused()
  if (stored) return { ...toAnswer(stored, currency), replayed: true }
  const decision = decide()
  batch.storeAnswer(answerId, { hash: requestHash, ...decision })
  return { ...toAnswer(decision, currency), replayed: false }
}

/** An answer that an earlier version of the program stored has no currency. */
function toAnswer({ product, rejection }: Decision, currency: string): Omit<StockChangeAnswer, 'replayed'> {
  if (product) return { product: { ...product, currency: product.currency ?? currency } }
  const { message = '', members } = rejection ?? {}
  return { refusal: new DomainError('insufficient_stock', message, members) }
}

const existing = (product: Product | undefined, productId: string): Product => {
  if (!product) throw productNotFound(productId)
  return product
}

const keyReused = () =>
  new DomainError(
    'idempotency_key_reused',
    'Idempotency-Key: was used for another request; repeat that request with this key, or use a new key',
  )

const insufficientStock = (current: Product, change: number) => ({
  message: `change: would take ${-change} from a stock of ${current.stock}`,
  members: { items: [{ productId: current.productId, requested: -change, available: current.stock }] },
})
