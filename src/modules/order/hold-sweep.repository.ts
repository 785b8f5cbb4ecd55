import { Types } from 'mongoose'
import type { Call } from '#kernel/call.ts'
import type { Database } from '#kernel/mongo/database.ts'
import type { HoldPosition } from '../product/contract.ts'

export const holdSweeps = ['first', 'second'] as const
/** The sweeper of holds looks at each hold twice: soon after it was made, and later. */
export type HoldSweep = (typeof holdSweeps)[number]

/** How far a sweep has come. All replicas share one document for each sweep. */
interface SweepDocument {
  _id: HoldSweep
  heldAt: Date
  orderId: Types.ObjectId
  /** The process that works on the sweep, until `ownedUntil`. */
  owner?: string
  ownedUntil?: Date
}

const ownershipMs = 10_000
const lowestId = '0'.repeat(24)

/** Clocks of services may differ. A sweep begins this long before it was first started. */
const beginsBeforeMs = 3_600_000

export type HoldSweeps = ReturnType<typeof createHoldSweeps>

/** Stores how far the sweeps of holds have come. */
export function createHoldSweeps(database: Database) {
  const sweeps = database.connection.collection<SweepDocument>('holdSweeps')
  return {
    /**
     * Stores where the sweeps begin, unless they have begun: with the holds that are made from about now on. Versions before the sweeps
     * stored each order before its hold.
     */
    async begin(call: Call): Promise<void> {
      const heldAt = new Date(Date.now() - beginsBeforeMs)
      const beginning = { $setOnInsert: { heldAt, orderId: new Types.ObjectId(lowestId) } }
      for (const sweep of holdSweeps) {
        await database.run('holds.beginSweep', call, (maxTimeMS) =>
          sweeps.updateOne({ _id: sweep }, beginning, { upsert: true, maxTimeMS }),
        )
      }
    },

    /**
     * Makes this process the owner of a sweep for 10 s. Ownership only avoids duplicate work.
     * @returns the last hold that was looked at, or undefined if another process owns the sweep
     */
    async own(sweep: HoldSweep, owner: string, call: Call): Promise<HoldPosition | undefined> {
      const now = Date.now()
      const isFree = { $or: [{ owner }, { ownedUntil: { $not: { $gte: new Date(now) } } }] }
      const change = { $set: { owner, ownedUntil: new Date(now + ownershipMs) } }
      const document = await database.run('holds.ownSweep', call, (maxTimeMS) =>
        sweeps.findOneAndUpdate({ _id: sweep, ...isFree }, change, { maxTimeMS }),
      )
      return document
        ? { heldAt: document.heldAt.getTime(), orderId: document.orderId.toHexString() }
        : undefined
    },

    /** Moves a sweep of this owner on to `position`. */
    async advance(sweep: HoldSweep, owner: string, position: HoldPosition, call: Call): Promise<void> {
      const change = {
        $set: { heldAt: new Date(position.heldAt), orderId: new Types.ObjectId(position.orderId) },
      }
      await database.run('holds.advanceSweep', call, (maxTimeMS) =>
        sweeps.updateOne({ _id: sweep, owner }, change, { maxTimeMS }),
      )
    },
  }
}
