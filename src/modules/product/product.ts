import { toDecimal } from '#kernel/money.ts'

export const stockBound = 1_000_000_000
export const priceBound = 100_000_000

/** A product as the module holds it. `price` is in minor units. */
export interface Product {
  productId: string
  name: string
  description: string
  price: number
  stock: number
  /** Grows with every change of the representation, stock included. */
  version: number
  /** The version at which name, description or price last changed. */
  contentVersion: number
  createdAt: Date
  updatedAt: Date
}

/** A product as clients see it. */
export const representation = (product: Product) => ({
  productId: product.productId,
  name: product.name,
  description: product.description,
  price: toDecimal(product.price),
  stock: product.stock,
  version: product.version,
  createdAt: product.createdAt.toISOString(),
  updatedAt: product.updatedAt.toISOString(),
})
export type ProductRepresentation = ReturnType<typeof representation>

export const sortOrders = ['newest', 'price', '-price', 'name'] as const
export type SortOrder = (typeof sortOrders)[number]

/** The sort key of a row: what a page goes on after. */
export type Position = { key: string | number | Date; productId: string }

export interface ContentChange {
  name?: string | undefined
  description?: string | undefined
  price?: number | undefined
}
