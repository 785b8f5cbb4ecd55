import type { ProductFilters, SortOrder } from './product.ts'

/** Names are sorted alphabetically, without regard to case. */
export const nameCollation = { locale: 'en', strength: 2 }

interface Order {
  direction: 1 | -1
  index: Readonly<Record<string, 1 | -1>>
  /** The index with the fields of all filters, so that filtering reads no document. */
  filterIndex: Readonly<Record<string, 1 | -1>>
  collation?: typeof nameCollation
}

const byPrice = {
  index: { price: 1, _id: 1 },
  filterIndex: { price: 1, _id: 1, inStock: 1, deleted: 1 },
} as const

export const orders = {
  newest: {
    direction: -1,
    index: { createdAt: -1, _id: -1 },
    filterIndex: { createdAt: -1, _id: -1, price: 1, inStock: 1, deleted: 1 },
  },
  price: { direction: 1, ...byPrice },
  '-price': { direction: -1, ...byPrice },
  name: {
    direction: 1,
    index: { name: 1, _id: 1 },
    filterIndex: { name: 1, _id: 1, price: 1, inStock: 1, deleted: 1 },
    collation: nameCollation,
  },
} as const satisfies Record<SortOrder, Order>

/** The condition on the price. Undefined if no price is asked for. */
export const priceRange = ({ minPrice, maxPrice }: Pick<ProductFilters, 'minPrice' | 'maxPrice'>) =>
  minPrice === undefined && maxPrice === undefined
    ? undefined
    : {
        ...(minPrice !== undefined && { $gte: minPrice }),
        ...(maxPrice !== undefined && { $lte: maxPrice }),
      }
