import { toDecimal } from '#kernel/money.ts'

export const maxStock = 1_000_000_000
export const maxPrice = 100_000_000

/** What an admin edits. */
export interface ProductContent {
  name: string
  description: string
  /** Minor units. */
  price: number
}

/** A product inside the module. */
export interface Product extends ProductContent {
  productId: string
  stock: number
  /** Grows with every change that clients can see, including changes of the stock. */
  version: number
  /** The version at which the content last changed. */
  contentVersion: number
  createdAt: Date
  updatedAt: Date
}

export interface NewProduct extends ProductContent {
  stock: number
}

/** The product as clients see it, with the currency of the shop. */
export const productResponse = (product: Product, currency: string) => ({
  productId: product.productId,
  name: product.name,
  description: product.description,
  price: toDecimal(product.price),
  currency,
  stock: product.stock,
  version: product.version,
  createdAt: product.createdAt.toISOString(),
  updatedAt: product.updatedAt.toISOString(),
})
export type ProductResponse = ReturnType<typeof productResponse>

export const sortOrders = ['newest', 'price', '-price', 'name'] as const
export type SortOrder = (typeof sortOrders)[number]

export const sortFields = {
  newest: 'createdAt',
  price: 'price',
  '-price': 'price',
  name: 'name',
} as const satisfies Record<SortOrder, keyof Product>

/** The sort key of the last row of a page. */
export interface Position {
  key: string | number | Date
  productId: string
}

export interface ProductFilters {
  /** A text whose words the name and the description have. */
  q?: string | undefined
  /** Minor units. */
  minPrice?: number | undefined
  /** Minor units. */
  maxPrice?: number | undefined
  inStock?: boolean | undefined
}

interface ProductPage extends ProductFilters {
  /** The position of the last row of the previous page. */
  after: Position | undefined
  limit: number
}

export interface ProductRange extends ProductPage {
  q?: undefined
  sort: SortOrder
}

export interface ProductSearch extends ProductPage {
  q: string
  sort: SortOrder | 'best'
}

export type ProductListQuery = ProductRange | ProductSearch

/** A page of products inside the module. */
export interface ProductRows {
  products: Product[]
  /** The position after which the next page starts; undefined on the last page. */
  next: Position | undefined
}

export const positionOf = (
  product: Pick<Product, 'createdAt' | 'price' | 'name' | 'productId'>,
  sort: SortOrder,
): Position => ({
  key: product[sortFields[sort]],
  productId: product.productId,
})
