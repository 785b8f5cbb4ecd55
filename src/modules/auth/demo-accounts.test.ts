import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject, it, onTestFinished } from 'vitest'
import type { BannerFact } from '#kernel/module.ts'
import { openCollections } from '#test/support/collections.ts'
import { databaseName, startComposition } from '#test/support/shop.ts'

/** Boots the program once. @returns what the operator sees */
async function factsAtBoot(settings: Record<string, string>): Promise<BannerFact[]> {
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
  const demoAdmin = [['Admin', expect.stringMatching(/^admin \/ \S+ +\(demo; admin@example\.com\)$/)]]
  expect(await factsAtBoot(settings)).toEqual(demoAdmin)
  expect(await factsAtBoot(settings)).toEqual(demoAdmin)
  const auth = await own.collections('auth')
  await auth.collection('users').updateOne({ username: 'admin' }, { $set: { role: 'customer' } })
  expect(await factsAtBoot(settings)).toEqual([])
})
