import { ensureCollection, type Migration } from '#kernel/mongo/migrations.ts'
import { expiryMigration } from '#kernel/mongo/retention.ts'
import { nameCollation } from './product.repository.ts'

const notDeleted = { partialFilterExpression: { deleted: false } }
const day = 86_400

export const productMigrations: Migration[] = [
  {
    name: '001-collections-and-indexes',
    indexes: {
      products: [
        { key: { createdAt: -1, _id: -1 }, ...notDeleted },
        { key: { price: 1, _id: 1 }, ...notDeleted },
        { key: { name: 1, _id: 1 }, ...notDeleted, collation: nameCollation },
      ],
      stockLedger: [{ key: { productId: 1, at: 1 } }],
      // Kept at least 24 h, as the contract says; a day more so that no clock decides.
      stockChangeAnswers: [{ key: { at: 1 }, expireAfterSeconds: 2 * day }],
    },
    async up(db) {
      for (const name of ['products', 'reservations', 'stockLedger', 'stockChangeAnswers']) {
        await ensureCollection(db, name)
      }
    },
  },
  // A reservation that holds nothing is there to refuse, or to answer again, a reserve that comes late. The last one is
  // sent by a retry that takes the order over, within a day of its placing, and acts no later than its deadline (an hour
  // at most) plus the time that the server gives a transaction: all that is well within the two days that this is kept
  // at least. An older order that is still `pending` is undone, and its release finds nothing to give back, as before.
  // What is held stays for ever.
  expiryMigration('002-retention', 'reservations', { state: { $in: ['released', 'rejected'] } }),
]
