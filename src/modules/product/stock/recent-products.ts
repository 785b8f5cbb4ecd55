import type { Found, StoredProduct } from './stock.ts'

// The time is short, so that a manual edit in MongoDB takes effect soon.
const keptForMs = 1_000
const maxProducts = 1_000

/**
 * A cache of the products that this process read within the last second, with its own changes since. Other processes change
 * products too, so that a decision on a cached product must be verified.
 */
export function createRecentProducts() {
  const products = new Map<string, StoredProduct>()

  const findRecent = (productId: string): StoredProduct | undefined => {
    const product = products.get(productId)
    return product && product.readAtMs > performance.now() - keptForMs ? product : undefined
  }

  return {
    has: (productId: string): boolean => findRecent(productId) !== undefined,

    /** Finds the cached products, and reads the others. */
    async find(
      productIds: readonly string[],
      read: (productIds: readonly string[]) => Promise<Found<StoredProduct>>,
    ): Promise<Found<StoredProduct>> {
      const missingIds: string[] = []
      const cached: StoredProduct[] = []
      for (const productId of productIds) {
        const product = findRecent(productId)
        if (product) cached.push(product)
        else missingIds.push(productId)
      }
      if (missingIds.length === 0) return { valid: cached, corruptIds: [] }
      const { valid, corruptIds } = await read(missingIds)
      return { valid: cached.concat(valid), corruptIds }
    },

    /** Stores products. It deletes the products that were added first if there are too many. */
    store(changed: readonly StoredProduct[]): void {
      for (const product of changed) products.set(product.productId, product)
      for (const productId of products.keys()) {
        if (products.size <= maxProducts) break
        products.delete(productId)
      }
    },
  }
}
