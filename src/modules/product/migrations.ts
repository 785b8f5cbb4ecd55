import { dropIndex, ensureCollection, type Migration } from '#kernel/mongo/migrations.ts'
import { expiryMigration } from '#kernel/mongo/retention.ts'
import { nameCollation, orders } from './product-orders.repository.ts'
import { textIndex, textWeights } from './product-search.repository.ts'
import { holdsByTime } from './stock/stock.repository.ts'

const notDeleted = { partialFilterExpression: { deleted: false } }
const daySeconds = 86_400

export const productMigrations: Migration[] = [
  {
    name: '001-collections-and-indexes',
    indexes: {
      products: [
        { key: { createdAt: -1, _id: -1 }, ...notDeleted },
        { key: { price: 1, _id: 1 }, ...notDeleted },
        { key: { name: 1, _id: 1 }, ...notDeleted, collation: nameCollation },
      ],
      // The contract promises 24 hours. The second day allows for clocks that differ.
      stockChangeAnswers: [{ key: { at: 1 }, expireAfterSeconds: 2 * daySeconds }],
    },
    async up(db) {
      for (const name of ['products', 'reservations', 'stockLedger', 'stockChangeAnswers']) {
        await ensureCollection(db, name)
      }
    },
  },
  // A reservation that holds no stock is only needed for a late or repeated reserve. A retry that comes after it has expired may hold
  // stock under the id of an order that is settled. The order module finds such a hold, and returns its stock. A reservation that
  // holds stock never expires.
  expiryMigration('002-retention', 'reservations', { state: { $in: ['released', 'rejected'] } }),
  // Old replicas that run beside this version create products without `inStock`: see `correctInStock`.
  {
    name: '003-filter-indexes',
    indexes: {
      products: [
        { key: orders.newest.filterIndex, ...notDeleted },
        { key: orders.price.filterIndex, ...notDeleted },
        { key: orders.name.filterIndex, ...notDeleted, collation: nameCollation },
      ],
    },
    async up(db) {
      const inStock = { $gt: ['$stock', 0] }
      await db.collection('products').updateMany({ inStock: { $exists: false } }, [{ $set: { inStock } }])
    },
  },
  {
    name: '004-ledger-list',
    indexes: { stockLedger: [{ key: { productId: 1, at: -1, _id: -1 } }] },
    // No version has read the index that this one replaces.
    async up(db) {
      await dropIndex(db, 'stockLedger', { productId: 1, at: 1 })
    },
  },
  {
    name: '005-text-index',
    indexes: {
      // Without a language, MongoDB neither ignores words such as "the" nor reduces words to their stems.
      products: [{ key: textIndex, weights: textWeights, default_language: 'none', ...notDeleted }],
    },
  },
  {
    name: '006-holds-by-time',
    indexes: { reservations: [{ key: holdsByTime, partialFilterExpression: { state: 'held' } }] },
  },
]
