import mongoose from 'mongoose'

export type Db = NonNullable<mongoose.Connection['db']>

/** Direct access to the databases of a program, over a separate connection. */
export interface Collections {
  collections(module: string): Promise<Db>
}

export async function openCollections(uri: string, database: string) {
  const own = await mongoose.createConnection(uri).asPromise()
  return {
    async collections(module: string): Promise<Db> {
      const { db } = own.useDb(`${database}_${module}`, { useCache: true })
      if (!db) throw new Error('a connected database has a handle')
      return db
    },
    close: () => own.close(),
  }
}
