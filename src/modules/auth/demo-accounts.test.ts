import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { BannerFact } from '#kernel/module.ts'
import { registry } from '#src/registry.ts'
import { openCollections } from '#test/support/collections.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { databaseName, startComposition } from '#test/support/shop.ts'

/** Boots the program once. @returns what the operator sees */
async function factsAtBoot(settings: Record<string, string>): Promise<BannerFact[]> {
  const noAdmin = { ADMIN_USERNAME: '', ADMIN_EMAIL: '', ADMIN_PASSWORD: '' }
  const { composition, close } = await startComposition({ environment: { ...noAdmin, ...settings } })
  try {
    await composition.prepare(new AbortController().signal)
    return await composition.bannerFacts()
  } finally {
    await close()
  }
}

/** A database and a data folder of its own. */
async function openDemo() {
  const database = databaseName()
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-demo-'))
  const own = await openCollections(mongodbUri, database)
  onTestFinished(async () => {
    for (const { name } of registry) await (await own.collections(name)).dropDatabase()
    await own.close()
    await rm(dataDir, { recursive: true })
  })
  const users = (await own.collections('auth')).collection('users')
  const accounts = async () =>
    (await users.find().sort({ username: 1 }).toArray()).map(({ username, role }) => `${username}: ${role}`)
  return { settings: { MONGODB_DATABASE: database, DATA_DIR: dataDir, DEMO: 'true' }, users, accounts }
}

const demoAdmin = [['Admin', expect.stringMatching(/^admin \/ \S+ +\(demo; admin@example\.com\)$/)]]

it('the boot prints the password of the demo admin as long as the account is an admin', async () => {
  const { settings, users } = await openDemo()
  expect(await factsAtBoot(settings)).toEqual(demoAdmin)
  expect(await factsAtBoot(settings)).toEqual(demoAdmin)
  await users.updateOne({ username: 'admin' }, { $set: { role: 'customer' } })
  expect(await factsAtBoot(settings)).toEqual([])
})

it('a boot completes the accounts of a demo whose first boot ended between them', async () => {
  const { settings, users, accounts } = await openDemo()
  await factsAtBoot(settings)
  for (const username of ['admin', 'demo']) {
    await users.deleteOne({ username })
    expect(await factsAtBoot(settings)).toEqual(demoAdmin)
    expect(await accounts()).toEqual(['admin: admin', 'demo: customer'])
  }
})

it('a store with other accounts gets no accounts of a demo', async () => {
  const { settings, users, accounts } = await openDemo()
  const admin = { ADMIN_USERNAME: 'grace', ADMIN_EMAIL: 'grace@example.com', ADMIN_PASSWORD: 'lamp-shade-44' }
  await factsAtBoot({ ...settings, ...admin, DEMO: 'false' })
  expect(await factsAtBoot(settings)).toEqual([])
  expect(await accounts()).toEqual(['grace: admin'])
  await users.updateOne({ username: 'grace' }, { $set: { role: 'customer' } })
  expect(await factsAtBoot(settings)).toEqual([])
  expect(await accounts()).toEqual(['grace: customer'])
})

it.each([
  ['ADMIN_USERNAME', { ADMIN_USERNAME: 'demo', ADMIN_EMAIL: 'grace@example.com' }, 'demo: admin'],
  ['ADMIN_EMAIL', { ADMIN_USERNAME: 'grace', ADMIN_EMAIL: 'demo@example.com' }, 'grace: admin'],
])(
  'a demo whose %s is that of its customer has the admin of the settings alone',
  async (_, names, account) => {
    const { settings, accounts } = await openDemo()
    const admin = { ...names, ADMIN_PASSWORD: 'lamp-shade-44' }
    expect(await factsAtBoot({ ...settings, ...admin })).toEqual([])
    expect(await accounts()).toEqual([account])
    expect(await factsAtBoot({ ...settings, ...admin })).toEqual([])
    expect(await accounts()).toEqual([account])
  },
)
