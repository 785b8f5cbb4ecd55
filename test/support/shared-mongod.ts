import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestProject } from 'vitest/node'
import { openEmbeddedMongo } from '#src/embedded/mongod.ts'
import { makeDatabaseFolder } from './database-folder.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Answers with the URI of the MongoDB once it has started, or with 500 and the reason why it has not. */
    mongodbStart: string
  }
}

/**
 * Starts one mongod for the whole run. Each test file has databases of its own in it, so that files run in parallel. The tests
 * that need no MongoDB do not wait for it: `mongodb-uri.ts` does.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // `npm run test:load` measures, and an operator's MongoDB writes to a disk.
  const dataDir = await makeDatabaseFolder({ mayBeInMemory: project.config.env?.LOAD !== 'full' })
  const starting = openEmbeddedMongo({ dataDir, log: (line) => console.log(line) })
  const answer = starting.then(
    ({ uri }) => ({ status: 200, text: uri }),
    (error: unknown) => ({ status: 500, text: String(error) }),
  )
  const server = createServer((_request, response) => {
    void answer.then(({ status, text }) => response.writeHead(status).end(text))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  project.provide('mongodbStart', `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  return async () => {
    server.close()
    server.closeAllConnections()
    // A start that has failed was answered to each test file.
    await starting.then(
      (mongod) => mongod.close(),
      () => undefined,
    )
    await rm(dataDir, { recursive: true, force: true })
  }
}
