import mongoose, { Types } from 'mongoose'

const { MinKey, MaxKey } = mongoose.mongo

/** The place of a row in a list that is sorted by a time and, among rows with an equal time, by id. */
export interface Place {
  at: Date
  id: string
}

export interface RangeRequest {
  /** The time and `_id` follow each other in the index, both in the direction of the list. Fields may follow that ascend. */
  index: Readonly<Record<string, 1 | -1>>
  /** The values of the fields of the index before the time. */
  equal: Readonly<Record<string, unknown>>
  /** The last row of the previous page. The range starts after it. */
  after?: Place | undefined
  /** The earliest time in the range. */
  from?: Date | undefined
  /** The first time after the range. */
  until?: Date | undefined
  /** The last row of the range. Only `bounds` depends on it. */
  last?: Place | undefined
}

export interface IndexRange {
  index: RangeRequest['index']
  /** The bounds of the range, for `createIndexedReads`. `min` is inclusive and `max` exclusive, in the order of the index. */
  bounds: { min: mongoose.mongo.Document; max: mongoose.mongo.Document }
  /** Says the same as `bounds`, for a read without the index. */
  filter: mongoose.mongo.Document
}

/**
 * Makes one range of an index. Its bounds let MongoDB read exactly the keys in the range. With the filter alone, it would read rows
 * with the time of the previous page's last row again, or merge two ranges, because "after this row" compares two fields.
 * @returns undefined if the range is empty
 */
export function indexRange(request: RangeRequest): IndexRange | undefined {
  const { index, equal, after, from, until, last } = request
  const fields = Object.keys(index)
  const time = fields[fields.indexOf('_id') - 1] ?? ''
  const further = Object.fromEntries(
    fields.slice(fields.indexOf('_id') + 1).map((field) => [field, new MinKey()]),
  )
  const isDescending = index._id === -1
  const isOutside = (at: Date) => (from && at < from) || (until && at >= until)
  if (from && until && from >= until) return undefined
  if (after && isOutside(after.at)) return undefined

  const key = (at: unknown, _id: unknown) => ({ ...equal, [time]: at, _id, ...further })
  const keyBehind = ({ at, id }: Place) => key(at, neighbourOf(id, isDescending))
  const earliest = from ? key(from, new MinKey()) : key(new MinKey(), new MinKey())
  const latest = until ? key(until, new MinKey()) : key(new MaxKey(), new MaxKey())
  const [start, end] = isDescending ? [latest, earliest] : [earliest, latest]
  const times = { ...(from && { $gte: from }), ...(until && { $lt: until }) }
  const beyond = isDescending ? '$lt' : '$gt'
  return {
    index,
    bounds: { min: after ? keyBehind(after) : start, max: last ? keyBehind(last) : end },
    filter: {
      ...equal,
      ...((from || until) && { [time]: times }),
      ...(after && {
        $or: [
          { [time]: { [beyond]: after.at } },
          { [time]: after.at, _id: { [beyond]: new Types.ObjectId(after.id) } },
        ],
      }),
    },
  }
}

/** The first id that can come after a row with the same time. */
function neighbourOf(id: string, isDescending: boolean) {
  const next = BigInt(`0x${id}`) + (isDescending ? -1n : 1n)
  if (next < 0n || next > maxId) return new Types.ObjectId(id)
  return new Types.ObjectId(next.toString(16).padStart(24, '0'))
}

const maxId = BigInt(`0x${'f'.repeat(24)}`)
