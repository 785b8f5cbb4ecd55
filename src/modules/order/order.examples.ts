/**
 * The examples of the order module. The products are those of the demo, so that the order can be placed in a new demo store. No
 * order of the demo has a fixed id: a client takes the id from the answer to an order that it placed.
 */

const espressoCup = { productId: '66f2a1b0c3d4e5f60718290a', quantity: 2 }
const paperFilters = { productId: '66f2a1b0c3d4e5f607182905', quantity: 1 }

const confirmed = {
  orderId: '66f2a1b0c3d4e5f607182a01',
  userId: '66f2a1b0c3d4e5f607182900',
  productList: [
    { productId: paperFilters.productId, name: 'Paper filters', price: 3.99, quantity: 1 },
    { productId: espressoCup.productId, name: 'Espresso cup', price: 12.9, quantity: 2 },
  ],
  totalAmount: 29.79,
  currency: 'EUR',
  status: 'confirmed',
  version: 2,
  createdAt: '2026-11-23T10:15:00.000Z',
  updatedAt: '2026-11-23T10:15:00.012Z',
}

export const orderExamples = {
  draft: { productList: [espressoCup, paperFilters] },
  confirmed,
  page: { data: [confirmed], nextCursor: null },
  history: {
    data: [
      { status: 'pending', at: confirmed.createdAt, by: confirmed.userId },
      { status: 'confirmed', at: confirmed.updatedAt, by: confirmed.userId },
    ],
    nextCursor: null,
  },
  update: { status: 'cancelled' as const },
  cancelled: { ...confirmed, status: 'cancelled', version: 4, updatedAt: '2026-11-23T10:20:00.000Z' },
  cancelling: { ...confirmed, status: 'cancelling', version: 3, updatedAt: '2026-11-23T10:20:00.000Z' },
}
