import { demoCatalogue } from './demo-catalogue.ts'
import { type ProductResponse, productResponse } from './product.ts'

const createdAt = '2026-11-23T10:15:00.000Z'
const updatedAt = '2026-11-23T10:20:00.000Z'

/** A product of the demo as clients see it in a new store. */
function demoProduct(name: string): ProductResponse {
  const entry = demoCatalogue.find((each) => each.name === name)
  if (!entry) throw new Error(`the demo has no product with the name ${name}`)
  const at = new Date(createdAt)
  return productResponse({ ...entry, version: 1, contentVersion: 1, createdAt: at, updatedAt: at }, 'EUR')
}

const draft = { name: 'French press', description: 'Glass and steel, 1 l', price: 34.5, stock: 15 }
const cappuccinoCup = demoProduct('Cappuccino cup')
const mokaPot = demoProduct('Moka pot')
const patch = { description: 'Aluminium, for three cups, with a spare seal', version: 1 }
const houseBlend = demoProduct('House blend')

/**
 * The examples of the product module. Each operation that changes a product has a product of its own, so that every example
 * succeeds once in a new demo store, whatever was tried before it.
 */
export const productExamples = {
  draft,
  created: {
    productId: '66f2a1b0c3d4e5f60718290b',
    ...draft,
    currency: 'EUR',
    version: 1,
    createdAt,
    updatedAt: createdAt,
  },
  page: { data: [demoProduct('Espresso cup'), cappuccinoCup], nextCursor: 'WyJuZXdlc3QiLHsia2V5IjoxfV0' },
  read: demoProduct('Espresso cup'),
  update: { price: 15.9, version: 1 },
  updated: { ...cappuccinoCup, price: 15.9, version: 2, updatedAt },
  patch,
  patched: { ...mokaPot, description: patch.description, version: 2, updatedAt },
  adjustment: { change: 25, reason: 'Delivery 4711' },
  adjusted: { ...houseBlend, stock: houseBlend.stock + 25, version: 2, updatedAt },
  stockChanges: {
    data: [
      {
        change: 25,
        stock: houseBlend.stock + 25,
        by: '66f2a1b0c3d4e5f607182900',
        reason: 'Delivery 4711',
        at: updatedAt,
      },
      { change: houseBlend.stock, stock: houseBlend.stock, by: 'demo', reason: 'created', at: createdAt },
    ],
    nextCursor: null,
  },
  deleted: demoProduct('Last year’s calendar'),
}
