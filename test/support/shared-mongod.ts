import { rm } from 'node:fs/promises'
import type { TestProject } from 'vitest/node'
import { openEmbeddedMongo } from '#src/embedded/mongod.ts'
import { makeDatabaseFolder } from './database-folder.ts'

declare module 'vitest' {
  interface ProvidedContext {
    mongodbUri: string
  }
}

/** Starts one mongod for the whole run. Each test file has databases of its own in it, so that files run in parallel. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // `npm run test:load` measures, and an operator's MongoDB writes to a disk.
  const dataDir = await makeDatabaseFolder({ mayBeInMemory: project.config.env?.LOAD !== 'full' })
  const mongod = await openEmbeddedMongo({ dataDir, log: (line) => console.log(line) })
  project.provide('mongodbUri', mongod.uri)
  return async () => {
    await mongod.close()
    await rm(dataDir, { recursive: true, force: true })
  }
}
