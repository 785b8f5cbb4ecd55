import type { mongo } from 'mongoose'
import { type Peer, type Program, startPeer, startSplitTrivet, startTrivet } from './programs.ts'
import { seedProducts } from './seed.ts'
import type { Stage } from './stage.ts'

/** Products of a usual catalogue. */
export const catalogue = 10_000

/** Trivet with a database of its own. */
export interface Shop {
  database: string
  products: mongo.Db
  orders: mongo.Db
}

interface Options {
  products?: number
  settings?: Record<string, string>
}

/** Trivet in one process. It starts first, since its migrations make the collections and indexes. */
export async function openShop(
  stage: Stage,
  label: string,
  { products = catalogue, settings }: Options = {},
): Promise<Shop & { program: Program }> {
  const database = stage.database(label)
  const program = await startTrivet(stage, database, settings)
  return { program, ...(await stocked(stage, database, products)) }
}

/** Trivet as one process per module. */
export async function openSplitShop(stage: Stage, label: string) {
  const database = stage.database(label)
  const programs = await startSplitTrivet(stage, database)
  return { programs, ...(await stocked(stage, database, catalogue)) }
}

async function stocked(stage: Stage, database: string, count: number): Promise<Shop> {
  const products = stage.client.db(`${database}_product`)
  await seedProducts(products, count, { ledger: true })
  return { database, products, orders: stage.client.db(`${database}_order`) }
}

/** A peer that writes, with the same products in a database of its own. */
export async function openPeerShop(stage: Stage, peer: Peer): Promise<Shop & { program: Program }> {
  const database = stage.database(peer)
  const db = stage.client.db(database)
  await seedProducts(db, catalogue)
  return { program: await startPeer(stage, peer, database), database, products: db, orders: db }
}
