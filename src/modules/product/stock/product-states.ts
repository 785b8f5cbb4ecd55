import { CorruptDocument } from '#kernel/mongo/corrupt-documents.ts'
import type { HeldLine, Line } from '../contract.ts'
import type { Product, ProductContent } from '../product.ts'
import type { ProductChange, StoredProduct } from './stock.ts'
import type { StockBatch, StoredState } from './stock-operation.ts'

interface ProductState extends ProductChange {
  readonly before: StoredProduct
  after: StoredProduct
  /** A client may have seen this version, so that the next change needs a new one. */
  isVersionSeen: boolean
}

/** The products of a batch: their changes so far, and what the writes of these changes require. */
export function createProductStates({ products, productIds, corruptIds }: StoredState, at: Date) {
  const newProducts: Product[] = []
  const states = new Map(products.map((product) => [product.productId, unchanged(product)]))

  /** @returns undefined if the product does not exist */
  const find = (productId: string): ProductState | undefined => {
    if (corruptIds.has(productId)) throw new CorruptDocument('product', productId)
    return states.get(productId)
  }

  const findProduct = (productId: string): Product | undefined => {
    const state = find(productId)
    if (state) state.requiresVersion = true
    return state?.after.deleted ? undefined : state?.after
  }

  return {
    methods: {
      findProduct,

      showProduct(productId) {
        const state = find(productId)
        if (state) state.isVersionSeen = true
        return findProduct(productId)
      },

      takeStock(lines) {
        for (const { productId } of lines) find(productId)
        const held = holdLines(states, lines)
        if (!held) return undefined
        for (const { productId, quantity } of lines) {
          const state = states.get(productId)
          if (!state) continue
          change(state, -quantity, at)
          state.requiresContent = true
        }
        return held
      },

      returnStock(lines) {
        for (const { productId } of lines) find(productId)
        for (const { productId, quantity } of lines) {
          const state = states.get(productId)
          if (state) change(state, quantity, at)
        }
      },

      addProduct(product) {
        const added = { ...product, version: 1, contentVersion: 1, createdAt: at, updatedAt: at }
        newProducts.push(added)
        return added
      },

      changeProduct(productId, stockChange, content) {
        const state = states.get(productId)
        if (!state) return
        change(state, stockChange, at, content)
        state.stockedChange += stockChange
      },
    } satisfies Partial<StockBatch>,

    /** Whether the batch writes every product that it read. MongoDB verifies only the products that are written. */
    areVerifiedByWrites: (): boolean =>
      [...productIds].every((productId) => {
        const state = states.get(productId)
        return state !== undefined && state.before !== state.after
      }),

    afterBatch: (): StoredProduct[] => [...states.values()].map(({ after }) => after),

    changes: () => ({
      products: [...states.values()].filter(({ before, after }) => before !== after),
      newProducts,
    }),
  }
}

const unchanged = (product: StoredProduct): ProductState => ({
  before: product,
  after: product,
  stockedChange: 0,
  requiredStock: 0,
  requiresContent: false,
  requiresVersion: false,
  isVersionSeen: true,
})

/** @returns undefined if a product does not exist, is deleted or has too little stock */
function holdLines(
  states: ReadonlyMap<string, ProductState>,
  lines: readonly Line[],
): HeldLine[] | undefined {
  const held: HeldLine[] = []
  for (const line of lines) {
    const product = states.get(line.productId)?.after
    if (!product || product.deleted || line.quantity > product.stock) return undefined
    held.push({ ...line, name: product.name, price: product.price })
  }
  return held
}

/**
 * Changes a product. The version grows once in a batch, and again after each time that a client sees it. Otherwise one version
 * would belong to two different responses.
 */
function change(
  state: ProductState,
  stockChange: number,
  at: Date,
  content: Partial<ProductContent> = {},
): void {
  const { before, after, isVersionSeen } = state
  const stock = after.stock + stockChange
  const version = isVersionSeen ? after.version + 1 : after.version
  const contentVersion = Object.keys(content).length > 0 ? version : after.contentVersion
  const updatedAt = after.updatedAt > at ? after.updatedAt : at
  state.after = { ...after, ...content, stock, version, contentVersion, updatedAt }
  state.requiredStock = Math.max(state.requiredStock, before.stock - stock)
  state.isVersionSeen = false
}
