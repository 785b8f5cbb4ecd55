import type { mongo } from 'mongoose'
import type { BenchContext } from './context.ts'
import { type Peer, type Program, startPeer, startSplitTrivet, startTrivet } from './programs.ts'
import { seedProducts } from './seed.ts'

/** The number of products of a typical catalogue. */
export const catalogueSize = 10_000

/** The databases of one installation of Trivet, or the database of one peer. */
export interface Shop {
  /** The name of a peer's database, or the prefix of Trivet's. */
  database: string
  products: mongo.Db
  orders: mongo.Db
}

export type RunningShop = Shop & { program: Program }

/** Starts Trivet in one process. The migrations create collections and indexes before the products are inserted. */
export async function startShop(
  context: BenchContext,
  label: string,
  options: { products?: number; settings?: Record<string, string> } = {},
): Promise<RunningShop> {
  const { products = catalogueSize, settings } = options
  const database = context.reserveDatabase(label)
  const program = await startTrivet(context, database, settings)
  return { program, ...(await seedShop(context, database, products)) }
}

/** Starts Trivet as one process per module. */
export async function startSplitShop(context: BenchContext, label: string) {
  const database = context.reserveDatabase(label)
  const programs = await startSplitTrivet(context, database)
  return { programs, ...(await seedShop(context, database, catalogueSize)) }
}

async function seedShop(context: BenchContext, database: string, count: number): Promise<Shop> {
  const products = context.client.db(`${database}_product`)
  await seedProducts(products, count, { ledger: true })
  return { database, products, orders: context.client.db(`${database}_order`) }
}

/** Starts a peer that takes orders, with the same products in a database of its own. */
export async function startPeerShop(context: BenchContext, peer: Peer): Promise<RunningShop> {
  const database = context.reserveDatabase(peer)
  const db = context.client.db(database)
  await seedProducts(db, catalogueSize)
  return { program: await startPeer(context, peer, database), database, products: db, orders: db }
}
