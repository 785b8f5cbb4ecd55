import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { openEmbeddedMongo } from '#src/embedded/mongod.ts'

declare module 'vitest' {
  interface ProvidedContext {
    mongodbUri: string
  }
}

/** Starts one mongod for the whole run. Each test file has databases of its own in it, so that files run in parallel. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-test-'))
  const mongod = await openEmbeddedMongo({ dataDir, log: (line) => console.log(line) })
  project.provide('mongodbUri', mongod.uri)
  return async () => {
    await mongod.close()
    await rm(dataDir, { recursive: true, force: true })
  }
}
