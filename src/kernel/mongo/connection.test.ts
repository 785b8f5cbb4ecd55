import { PassThrough } from 'node:stream'
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { createLogger } from '#kernel/logger.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { callOf } from '#test/support/counters.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { textOf } from '#test/support/output.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { databaseName } from '#test/support/shop.ts'
import { createMongo } from './connection.ts'

const logger = await quiet
const withPassword = (address: string, password: string) =>
  address.replace('mongodb://', `mongodb://user:${password}@`)

it("a module's database has the module's name", async () => {
  const prefix = databaseName()
  const mongo = createMongo({
    uri: mongodbUri,
    database: prefix,
    requestTimeoutMs: 1_000,
    logger,
    metrics: createMetrics(),
  })
  expect(mongo.database('order').connection.name).toBe(`${prefix}_order`)
  await mongo.close()
})

it('an operation on a closed connection fails as dependency_unavailable', async () => {
  const mongo = createMongo({
    uri: mongodbUri,
    database: databaseName(),
    requestTimeoutMs: 1_000,
    logger,
    metrics: createMetrics(),
  })
  await mongo.connect(new AbortController().signal)
  const { run, connection } = mongo.database('things')
  await mongo.close()
  const refused = run('test', callOf(500), () => connection.collection('a').findOne({}))
  await expect(refused).rejects.toMatchObject({ code: 'dependency_unavailable' })
})

describe('a URI', () => {
  const password = 'hunter2S3cret'

  /** Returns the log and the error of a process that gives up after its first message. */
  async function printed(uri: string): Promise<{ log: string; error: string }> {
    const output = new PassThrough()
    const giveUp = new AbortController()
    const log = textOf(output)
    output.on('data', () => {
      if (log().includes('waiting for MongoDB')) giveUp.abort()
    })
    const noisy = await createLogger({ level: 'trace', human: false, service: 'test', output })
    const mongo = createMongo({
      uri,
      database: databaseName(),
      requestTimeoutMs: 1_000,
      logger: noisy,
      metrics: createMetrics(),
    })
    const error = await mongo.connect(giveUp.signal).catch((thrown: unknown) => thrown)
    await mongo.close()
    expect(error).toBeInstanceOf(Error)
    return { log: log(), error: inspect(error, { depth: 10, showHidden: true }) }
  }

  it.each([
    'mongodb://',
    'mongodb://127.0.0.1:1/?bogus=1',
    `mongodb://user:${password}`,
    `mongodb://user:${password},127.0.0.1:1`,
    `mongodb://user:${password}@`,
    `mongodb://user:${password}@127.0.0.1:99999`,
    `mongodb://user:a@${password}@127.0.0.1:1`,
    `mongodb://user:a/${password}@127.0.0.1:1`,
    `mongodb://user:a%${password}@127.0.0.1:1`,
    `mongodb://user:a?${password}=1@127.0.0.1:1`,
    `mongodb://127.0.0.1:1/?user=a&${password}`,
    `mongodb://127.0.0.1:1/?user=a&${password}=1`,
    `mongodb://127.0.0.1:1/?compressors=${password}`,
    `mongodb+srv://user:${password}@`,
    `mongodb+srv://user:${password}@db.example,${password}`,
  ])('an invalid URI ends the boot at once, and the message does not quote it: %s', async (wrong) => {
    const { log, error } = await printed(wrong)
    expect(error).toMatch(/ConfigError: .*\n.*MONGODB_URI is not valid/)
    expect(log).toBe('')
    expect(error.toLowerCase()).not.toContain(password.toLowerCase())
  })

  it.each([
    [
      'a server that does not answer',
      'mongodb://user:hunter2S3cret@127.0.0.1:1/?replicaSet=rs',
      /ECONNREFUSED/,
    ],
    ['a server that refuses its password', withPassword(mongodbUri, password), /Authentication failed/],
  ])(
    'a URI of %s makes the process wait, and the log does not contain its password',
    async (_what, uri, reason) => {
      const { log, error } = await printed(uri)
      expect(log).toMatch(reason)
      expect(log + error).not.toContain(password)
    },
  )
})
