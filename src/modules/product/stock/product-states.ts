import { CorruptDocument } from '#kernel/mongo/corrupt-documents.ts'
import type { HeldLine } from '../contract.ts'
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
  const states = new Map<string, ProductState>()
  for (const product of products) {
    states.set(product.productId, {
      before: product,
      after: product,
      stockedChange: 0,
      requiredStock: 0,
      requiresContent: false,
      requiresVersion: false,
      isVersionSeen: true,
    })
  }

  const checkProduct = (productId: string) => {
    if (corruptIds.has(productId)) throw new CorruptDocument('product', productId)
  }

  /**
   * Changes a product. The version grows once in a batch, and again after each time that a client sees it. Otherwise one version
   * would belong to two different responses.
   */
  const change = (productId: string, stockChange: number, content: Partial<ProductContent> = {}) => {
    const state = states.get(productId)
    if (!state) return undefined
    const { before, after, isVersionSeen } = state
    const version = isVersionSeen ? after.version + 1 : after.version
    const contentVersion = Object.keys(content).length > 0 ? version : after.contentVersion
    const updatedAt = after.updatedAt > at ? after.updatedAt : at
    const stock = after.stock + stockChange
    state.after = { ...after, ...content, stock, version, contentVersion, updatedAt }
    state.requiredStock = Math.max(state.requiredStock, before.stock - stock)
    state.isVersionSeen = false
    return state
  }

  const findProduct = (productId: string): Product | undefined => {
    checkProduct(productId)
    const state = states.get(productId)
    if (state) state.requiresVersion = true
    return state?.after.deleted ? undefined : state?.after
  }

  return {
    methods: {
      findProduct,

      showProduct(productId) {
        const state = states.get(productId)
        if (state) state.isVersionSeen = true
        return findProduct(productId)
      },

      takeStock(lines) {
        for (const { productId } of lines) checkProduct(productId)
        const held: HeldLine[] = []
        for (const line of lines) {
          const state = states.get(line.productId)
          if (!state || state.after.deleted || line.quantity > state.after.stock) return undefined
          const { name, price } = state.after
          held.push({ ...line, name, price })
        }
        for (const { productId, quantity } of lines) {
          const state = change(productId, -quantity)
          if (state) state.requiresContent = true
        }
        return held
      },

      returnStock(lines) {
        for (const { productId } of lines) checkProduct(productId)
        for (const { productId, quantity } of lines) change(productId, quantity)
      },

      addProduct(product) {
        const added = { ...product, version: 1, contentVersion: 1, createdAt: at, updatedAt: at }
        newProducts.push(added)
        return added
      },

      changeProduct(productId, stockChange, content) {
        const state = change(productId, stockChange, content)
        if (state) state.stockedChange += stockChange
      },
    } satisfies Partial<StockBatch>,

    /** A product that was read but is not written is not verified. */
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
