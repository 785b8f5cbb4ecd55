import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { createMetrics } from '#kernel/metrics.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { databaseName } from '#test/support/shop.ts'
import { createMongo, type Mongo } from './connection.ts'
import { ensureCollection, type Migration, migrate } from './migrations.ts'

const logger = await quiet
const prefix = databaseName()
const fixture = fileURLToPath(new URL('../../../test/fixtures/migrating-process.ts', import.meta.url))

let mongo: Mongo

beforeAll(async () => {
  mongo = createMongo({
    uri: mongodbUri,
    database: prefix,
    requestTimeoutMs: 10_000,
    logger,
    metrics: createMetrics(),
  })
  await mongo.connect(new AbortController().signal)
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

afterAll(async () => {
  for (const module of ['replicas', 'crashed', 'failing', 'renewed', 'held', 'contracted']) {
    await mongo.database(module).connection.dropDatabase()
  }
  await mongo.close()
})

const run = <T>(module: string, migrations: readonly Migration[], prepare: () => Promise<T>) =>
  migrate(mongo, module, migrations, prepare, logger)

/** Starts another process with the same database. The process waits for the message to migrate. */
async function replica(module: string, behaviour = ''): Promise<ChildProcess> {
  const child = fork(fixture, [mongodbUri, prefix, module, behaviour], { execArgv: [] })
  onTestFinished(() => void child.kill('SIGKILL'))
  await once(child, 'message')
  return child
}

const runsIn = async (module: string) => {
  const written = mongo.database(module).connection.collection('runs')
  const runs = await written.find().sort({ $natural: 1 }).toArray()
  return runs as unknown as { what: string; pid: number; migrated?: string[] }[]
}

it('ensureCollection creates a collection once, even if it runs many times at once', async () => {
  const { db } = mongo.database('replicas').connection
  if (!db) throw new Error('a connected database has a handle')
  await Promise.all(Array.from({ length: 20 }, () => ensureCollection(db, 'ensured')))
  expect(await db.listCollections({ name: 'ensured' }).toArray()).toHaveLength(1)
})

describe('migrations', () => {
  it('each migration runs once if three processes start at once, and then each process prepares alone', async () => {
    const replicas = await Promise.all([replica('replicas'), replica('replicas'), replica('replicas')])
    const ends = replicas.map((child) => once(child, 'exit'))
    for (const child of replicas) child.send('start')
    expect((await Promise.all(ends)).map(([code]) => code)).toEqual([0, 0, 0])

    const runs = await runsIn('replicas')
    const migrated = ['001-first', '002-second']
    expect(runs.map(({ what }) => what)).toEqual([...migrated, 'prepare', 'prepare', 'prepare'])
    const prepared = runs.filter(({ what }) => what === 'prepare')
    expect(new Set(prepared.map(({ pid }) => pid)).size).toBe(3)
    for (const run of prepared) expect(run.migrated).toEqual(migrated)
    expect(await mongo.database('replicas').connection.collection('locks').countDocuments()).toBe(0)
  })

  it('a migration that throws ends the start, and the next start runs it again without the earlier ones', async () => {
    const ran: string[] = []
    let fails = true
    const migrations = [
      { name: '001-sound', up: async () => void ran.push('001-sound') },
      {
        name: '002-faulty',
        async up() {
          ran.push('002-faulty')
          if (fails) throw new Error('disk full')
        },
      },
      { name: '003-later', up: async () => void ran.push('003-later') },
    ]
    const prepare = vi.fn(async () => 'prepared')
    await expect(run('failing', migrations, prepare)).rejects.toThrow('disk full')
    expect(ran).toEqual(['001-sound', '002-faulty'])
    expect(prepare).not.toHaveBeenCalled()

    fails = false
    ran.length = 0
    // The second run does not wait, because the first one released the lease when it failed.
    expect(await run('failing', migrations, prepare)).toBe('prepared')
    expect(ran).toEqual(['002-faulty', '003-later'])

    ran.length = 0
    expect(await run('failing', migrations, prepare)).toBe('prepared')
    expect(ran).toEqual([])
  })

  it('a version that does not know the migration that another migration needs does not start', async () => {
    const up = async () => {}
    const expand = { name: '001-expand', up }
    const contract = { name: '002-contract', needs: '001-expand', up }
    const prepare = async () => 'prepared'
    await run('contracted', [expand, contract], prepare)
    expect(await run('contracted', [expand], prepare)).toBe('prepared')
    await expect(run('contracted', [{ name: '000-before', up }], prepare)).rejects.toThrow(
      /has migrations that this version does not know and cannot work with: 002-contract\./,
    )
  })

  it('the death of a migrating process delays the other processes until its lease ends', async () => {
    const crashed = mongo.database('crashed')
    const locks = crashed.connection.collection('locks')
    const holder = await replica('crashed', 'hang')
    holder.send('start')
    await once(holder, 'message')
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    const left = (await locks.findOne({}))?.until.getTime() - Date.now()
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThanOrEqual(15_000)

    // The profile contains the refused attempts to take the lease.
    await crashed.connection.db?.command({ profile: 2 })
    const migrations = [{ name: '001-first', up: async () => {} }]
    let done = false
    const next = run('crashed', migrations, async () => {
      done = true
    })
    const profile = crashed.connection.collection('system.profile')
    const refusals = () => profile.countDocuments({ ns: `${prefix}_crashed.locks`, errCode: 11_000 })
    await vi.waitFor(async () => expect(await refusals()).toBeGreaterThan(1), { timeout: 5_000 })
    expect(done).toBe(false)
    // This ends the lease, so that the test does not have to wait.
    await locks.updateOne({}, { $set: { until: new Date() } })
    await next
    expect(done).toBe(true)
  })

  it('a start whose signal has aborted ends with a message while another process migrates', async () => {
    const locks = mongo.database('held').connection.collection<{ _id: string; until: Date }>('locks')
    await locks.insertOne({ _id: 'migrations', until: new Date(Date.now() + 60_000) })
    const prepare = vi.fn(async () => 'prepared')
    const aborted = migrate(mongo, 'held', [], prepare, logger, AbortSignal.abort())
    await expect(aborted).rejects.toThrow('another process is migrating this database')
    expect(prepare).not.toHaveBeenCalled()
    expect(await locks.countDocuments()).toBe(1)
  })

  it('a migrating process renews its lease', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const started = vi.spyOn(globalThis, 'setInterval')
    const ended = vi.spyOn(globalThis, 'clearInterval')
    const locks = mongo.database('renewed').connection.collection('locks')
    const until = async () => (await locks.findOne({}))?.until.getTime()
    await run('renewed', [], async () => {
      const first = await until()
      await vi.advanceTimersByTimeAsync(14_000)
      await vi.waitFor(async () => expect(await until()).toBeGreaterThan(first))
    })
    expect(await until()).toBeUndefined()
    // Programs that earlier test files started may set intervals too.
    const renewal = started.mock.calls.findIndex(([, delayMs]) => delayMs === 5_000)
    expect(renewal).toBeGreaterThanOrEqual(0)
    expect(ended).toHaveBeenCalledWith(started.mock.results[renewal]?.value)
  })

  it('migrate returns the result of prepare, or throws its error', async () => {
    expect(await run('renewed', [], async () => ['a line'])).toEqual(['a line'])
    const fault = new Error('no such account')
    await expect(run('renewed', [], () => Promise.reject(fault))).rejects.toBe(fault)
    expect(await run('renewed', [], async () => 'at once')).toBe('at once')
  })
})
