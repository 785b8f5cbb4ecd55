import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject, it, onTestFinished } from 'vitest'
import { openCollections } from '#test/support/collections.ts'
import { databaseName, startComposition } from '#test/support/shop.ts'

/** The lines that a boot prints for the operator. */
async function linesAtBoot(settings: Record<string, string>): Promise<string[]> {
  const noAdmin = { ADMIN_USERNAME: '', ADMIN_EMAIL: '', ADMIN_PASSWORD: '' }
  const { composition, close } = await startComposition({ environment: { ...noAdmin, ...settings } })
  try {
    return await composition.prepare(new AbortController().signal)
  } finally {
    await close()
  }
}

it('the boot prints the password of the demo admin as long as the account is an admin', async () => {
  const database = databaseName()
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-demo-'))
  const own = await openCollections(inject('mongodbUri'), database)
  onTestFinished(async () => {
    for (const name of ['auth', 'product', 'order']) await (await own.collections(name)).dropDatabase()
    await own.close()
    await rm(dataDir, { recursive: true })
  })
  const settings = { MONGODB_DATABASE: database, DATA_DIR: dataDir, DEMO: 'true' }
  const demoLine = [expect.stringMatching(/^Admin +admin \/ \S+ +\(demo; admin@example\.com\)$/)]
  expect(await linesAtBoot(settings)).toEqual(demoLine)
  expect(await linesAtBoot(settings)).toEqual(demoLine)
  const auth = await own.collections('auth')
  await auth.collection('users').updateOne({ username: 'admin' }, { $set: { role: 'customer' } })
  expect(await linesAtBoot(settings)).toEqual([])
})
