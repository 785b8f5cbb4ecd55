import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject, it, onTestFinished } from 'vitest'
import { openCollections } from '#test/support/collections.ts'
import { databaseName, startComposition } from '#test/support/shop.ts'

/** What a start says, for whoever has started it. */
async function linesOfAStart(settings: Record<string, string>): Promise<string[]> {
  const noAdmin = { ADMIN_USERNAME: '', ADMIN_EMAIL: '', ADMIN_PASSWORD: '' }
  const { composition, close } = await startComposition({ environment: { ...noAdmin, ...settings } })
  try {
    return await composition.prepare(new AbortController().signal)
  } finally {
    await close()
  }
}

it('a start tells of the demo admin, until that account is no admin any more', async () => {
  const database = databaseName()
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-demo-'))
  const own = await openCollections(inject('mongodbUri'), database)
  onTestFinished(async () => {
    for (const name of ['auth', 'product', 'order']) await (await own.collections(name)).dropDatabase()
    await own.close()
    await rm(dataDir, { recursive: true })
  })
  const settings = { MONGODB_DATABASE: database, DATA_DIR: dataDir, DEMO: 'true' }
  const toldOf = [expect.stringMatching(/^Admin +admin \/ \S+ +\(demo; admin@example\.com\)$/)]
  expect(await linesOfAStart(settings)).toEqual(toldOf)
  expect(await linesOfAStart(settings)).toEqual(toldOf)
  const auth = await own.collections('auth')
  await auth.collection('users').updateOne({ username: 'admin' }, { $set: { role: 'customer' } })
  expect(await linesOfAStart(settings)).toEqual([])
})
