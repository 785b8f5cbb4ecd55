import { registry } from '#src/registry.ts'
import type { Collections } from './collections.ts'

/** Returns every document of every module as text, by collection. */
export async function storedDocuments({ collections }: Collections): Promise<Record<string, string[]>> {
  const ofModules = registry.map(async ({ name }) => {
    const db = await collections(name)
    const found = await db.listCollections({}, { nameOnly: true }).toArray()
    return Promise.all(
      found.map(async (collection) => {
        const documents = await db.collection(collection.name).find().toArray()
        return [`${name}.${collection.name}`, documents.map((each) => JSON.stringify(each)).sort()] as const
      }),
    )
  })
  return Object.fromEntries((await Promise.all(ofModules)).flat().sort())
}

/**
 * Returns a hash of each collection, by module. It changes with every document, so that tests can compare before and after. The
 * progress of the sweeper of holds is left out, because it changes by itself.
 */
export async function storedHashes({ collections }: Collections): Promise<Record<string, object>> {
  const ofModules = registry.map(async ({ name }) => {
    const { collections: hashes } = await (await collections(name)).command({ dbHash: 1 })
    const { holdSweeps: _, ...others } = hashes
    return [name, others] as const
  })
  return Object.fromEntries(await Promise.all(ofModules))
}
