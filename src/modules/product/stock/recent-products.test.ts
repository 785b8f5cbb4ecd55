import { afterEach, expect, it, vi } from 'vitest'
import { createProductMemory } from './recent-products.ts'
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
  readAt: performance.now(),
})

/** What a memory has to read, and what it then knows. */
async function recalled(memory: ReturnType<typeof createProductMemory>, ...ids: string[]) {
  const read = vi.fn(async (unknown: readonly string[]) => ({
    whole: unknown.map((id) => product(Number(id), 99)),
    spoilt: [],
  }))
  const { whole } = await memory.recall(ids, read)
  return { read: read.mock.calls.flatMap(([unknown]) => unknown), stocks: whole.map(({ stock }) => stock) }
}

it('knows what it was told, and reads the rest', async () => {
  const memory = createProductMemory()
  memory.keep([product(1, 7)])
  expect(await recalled(memory, '1', '2')).toEqual({ read: ['2'], stocks: [7, 99] })
})

it('forgets a product a second after it was read, however often it was kept since', async () => {
  vi.useFakeTimers()
  const memory = createProductMemory()
  const read = product(1, 7)
  memory.keep([read])
  vi.advanceTimersByTime(900)
  memory.keep([{ ...read, stock: 6 }])
  expect(await recalled(memory, '1')).toEqual({ read: [], stocks: [6] })
  vi.advanceTimersByTime(101)
  expect(await recalled(memory, '1')).toEqual({ read: ['1'], stocks: [99] })
})

it('has room for a thousand', async () => {
  const memory = createProductMemory()
  memory.keep(Array.from({ length: 1_001 }, (_, n) => product(n)))
  expect(await recalled(memory, '0', '1', '1000')).toMatchObject({ read: ['0'] })
})
