import type { Found, StoredProduct } from './stock.ts'

// Milliseconds that a product is presumed to be as this process left it: few, so that what is changed by hand soon shows.
const rememberedFor = 1_000
const mostRemembered = 1_000

/**
 * Products as this process read them within the last second, with what it has changed since. Whoever decides on one must
 * prove it: others may have changed it too.
 */
export function createProductMemory() {
  const entries = new Map<string, StoredProduct>()

  return {
    /** Those that are remembered, and the others as `read` finds them. */
    async recall(
      productIds: readonly string[],
      read: (productIds: readonly string[]) => Promise<Found<StoredProduct>>,
    ): Promise<Found<StoredProduct>> {
      const readSince = performance.now() - rememberedFor
      const unknown: string[] = []
      const remembered: StoredProduct[] = []
      for (const productId of productIds) {
        const entry = entries.get(productId)
        if (entry && entry.readAt > readSince) remembered.push(entry)
        else unknown.push(productId)
      }
      if (unknown.length === 0) return { whole: remembered, spoilt: [] }
      const { whole, spoilt } = await read(unknown)
      return { whole: remembered.concat(whole), spoilt }
    },

    keep(products: readonly StoredProduct[]): void {
      for (const product of products) entries.set(product.productId, product)
      for (const productId of entries.keys()) {
        if (entries.size <= mostRemembered) break
        entries.delete(productId)
      }
    },
  }
}
