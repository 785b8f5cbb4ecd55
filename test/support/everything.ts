import { registry } from '#src/registry.ts'
import type { Collections } from './collections.ts'

/** Every document of every collection of every module, as text: what is the same before and after has not changed. */
export async function everythingIn({ collections }: Collections): Promise<Record<string, string[]>> {
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
