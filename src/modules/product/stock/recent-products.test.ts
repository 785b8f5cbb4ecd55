import { afterEach, expect, it, vi } from 'vitest'
import { createRecentProducts } from './recent-products.ts'
import type { StoredProduct } from './stock.ts'

afterEach(() => vi.useRealTimers())

const product = (n: number, stock = 1): StoredProduct => ({
  productId: String(n),
  name: 'Cup',
  description: '',
  price: 500,
  stock,
  version: 1,
  contentVersion: 1,
  createdAt: new Date(0),
  updatedAt: new Date(0),
  deleted: false,
  readAtMs: performance.now(),
})

/** Finds products. @returns the ids that the cache had to read, and the stocks that it found */
async function find(recentProducts: ReturnType<typeof createRecentProducts>, ...ids: string[]) {
  const read = vi.fn(async (missingIds: readonly string[]) => ({
    valid: missingIds.map((id) => product(Number(id), 99)),
    corruptIds: [],
  }))
  const { valid } = await recentProducts.find(ids, read)
  return {
    read: read.mock.calls.flatMap(([missingIds]) => missingIds),
    stocks: valid.map(({ stock }) => stock),
  }
}

it('stored products are found in the cache, and the others are read', async () => {
  const recentProducts = createRecentProducts()
  recentProducts.store([product(1, 7)])
  expect(await find(recentProducts, '1', '2')).toEqual({ read: ['2'], stocks: [7, 99] })
})

it('a product is read again one second after its last read, even if it was stored again meanwhile', async () => {
  vi.useFakeTimers()
  const recentProducts = createRecentProducts()
  const firstRead = product(1, 7)
  recentProducts.store([firstRead])
  vi.advanceTimersByTime(900)
  recentProducts.store([{ ...firstRead, stock: 6 }])
  expect(await find(recentProducts, '1')).toEqual({ read: [], stocks: [6] })
  vi.advanceTimersByTime(101)
  expect(await find(recentProducts, '1')).toEqual({ read: ['1'], stocks: [99] })
})

it('the cache has at most a thousand products', async () => {
  const recentProducts = createRecentProducts()
  recentProducts.store(Array.from({ length: 1_001 }, (_, n) => product(n)))
  expect(await find(recentProducts, '0', '1', '1000')).toMatchObject({ read: ['0'] })
})
