import type mongoose from 'mongoose'
import type { Types } from 'mongoose'
import type { Call } from '../call.ts'
import type { Database, SnapshotOptions } from './database.ts'
import type { IndexedRead } from './indexed-reads.ts'

type Document = mongoose.mongo.Document
type Id = Types.ObjectId

/** The number of index entries that one page may filter in each range, which takes MongoDB some ten milliseconds. */
const maxScannedKeys = 10_000

/** A page of rows, which are found by index entries alone. */
export interface IndexScan {
  /** The index. It contains the fields of all filters. */
  index: Readonly<Record<string, 1 | -1>>
  collation?: mongoose.mongo.CollationOptions
  /** The order of the rows, which the index has. */
  sort: Readonly<Record<string, 1 | -1>>
  /** Filters that are ranges of the index, to be read one after the other. */
  ranges: readonly Document[]
  /** The filters that are no range of the index. */
  residual: Document
  /** A condition of all rows, with which a sharded cluster finds them by their ids. */
  shard?: Document
  limit: number
}

/** @returns the rows of a page, and the row after which the next page starts. It may be one of them */
export type ReadIndexScan<Row> = (
  scan: IndexScan,
  call: Call,
) => Promise<{ rows: Row[]; end: Row | undefined }>

/**
 * Creates the function that reads pages with filters that are no range of an index. MongoDB filters the entries of the index, and
 * reads only the rows of the page as documents. The number of entries is limited, so that a page may be short or empty although
 * more rows follow. All reads of a page see one snapshot.
 */
export function createIndexScan<Row extends { _id: Id }>(
  database: Database,
  collection: mongoose.mongo.Collection<Row>,
  indexed: IndexedRead,
): ReadIndexScan<Row> {
  const name = collection.collectionName
  const rows = collection as unknown as mongoose.mongo.Collection<{ _id: Id }>

  const read = async (scan: IndexScan, hint: IndexScan['index'] | undefined, snapshot: SnapshotOptions) => {
    const { collation } = scan
    const options = { ...snapshot, ...(hint && { hint }), ...(collation && { collation }) }
    const { ids, endId } = await findIds(scan, async (stages) => {
      const keys = rows.aggregate<{ _id: Id }>([...stages, { $project: { _id: 1 } }], options)
      return (await keys.toArray()).map(({ _id }) => _id)
    })
    const wanted = endId ? [...ids, endId] : ids
    const documents =
      wanted.length > 0 ? await rows.find({ ...scan.shard, _id: { $in: wanted } }, snapshot).toArray() : []
    const byId = new Map(documents.map((document) => [document._id.toHexString(), document as Row]))
    const found = (id: Id): Row => byId.get(id.toHexString()) as Row
    return { rows: ids.map(found), end: endId && found(endId) }
  }

  return (scan, call) =>
    indexed(call, { collection: name, index: scan.index }, ({ hint }) =>
      database.snapshot(`${name}.scan`, call, (snapshot) => read(scan, hint && scan.index, snapshot)),
    )
}

/**
 * Finds the ids of a page by index entries alone.
 * @returns `endId`: the last row, or the last entry that was filtered; undefined at the end of the list
 */
async function findIds(
  { ranges, sort, residual, limit }: IndexScan,
  readIds: (stages: object[]) => Promise<Id[]>,
): Promise<{ ids: Id[]; endId: Id | undefined }> {
  const ids: Id[] = []
  for (const range of ranges) {
    const entries = [{ $match: range }, { $sort: sort }]
    // The additional id only shows that there is a next page.
    const wanted = { $limit: limit + 1 - ids.length }
    ids.push(...(await readIds([...entries, { $limit: maxScannedKeys }, { $match: residual }, wanted])))
    if (ids.length > limit) return { ids: ids.slice(0, limit), endId: ids[limit - 1] }
    const [endId] = await readIds([...entries, { $skip: maxScannedKeys - 1 }, { $limit: 1 }])
    if (endId) return { ids, endId }
  }
  return { ids, endId: undefined }
}
