import type { Migration } from '#kernel/mongo/migrations.ts'
import { expiryMigration } from '#kernel/mongo/retention.ts'
import { beginHoldSweeps } from './hold-sweep.repository.ts'
import { followedStatuses, listedStatuses } from './order-list.ts'
import type { OrderStatus } from './order-status.ts'

const oneOf = (statuses: readonly OrderStatus[]) => ({
  partialFilterExpression: { status: { $in: [...statuses] } },
})

export const orderMigrations: Migration[] = [
  {
    name: '001-indexes',
    indexes: {
      orders: [
        // Idempotency rests on this index: it admits one order per user and key, however many requests arrive at once.
        { key: { userId: 1, key: 1 }, unique: true, partialFilterExpression: { key: { $exists: true } } },
        { key: { userId: 1, status: 1, createdAt: -1, _id: -1 } },
        { key: { status: 1, createdAt: -1, _id: -1 } },
      ],
    },
  },
  {
    name: '002-unfinished-orders',
    indexes: {
      // The index is small: it holds only unfinished orders.
      orders: [
        {
          key: { status: 1, leaseUntil: 1 },
          partialFilterExpression: { status: { $in: ['pending', 'cancelling'] } },
        },
      ],
    },
  },
  // A rejected order holds no stock and never changes again, so it may expire. A retry finds the answer until then. A later
  // request with the same key places a new order, as after the expiry of any key.
  expiryMigration('003-retention', 'orders', { status: 'rejected' }),
  {
    name: '004-lists',
    indexes: {
      // Lists without the filter `status` read one range of these indexes. An order stays in them when its status changes.
      orders: [
        { key: { userId: 1, createdAt: -1, _id: -1 }, ...oneOf(listedStatuses) },
        { key: { createdAt: -1, _id: -1 }, ...oneOf(listedStatuses) },
        // An order enters the feed of changes with the first decision, so that inserting it does not cost more.
        { key: { userId: 1, updatedAt: 1, _id: 1 }, ...oneOf(followedStatuses) },
        { key: { updatedAt: 1, _id: 1 }, ...oneOf(followedStatuses) },
      ],
    },
  },
  {
    name: '005-hold-sweeps',
    // Earlier versions stored each order before its hold, so that the sweeps need not look at the holds of the past.
    up: beginHoldSweeps,
  },
]
