import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mongoose from 'mongoose'
import { inject } from 'vitest'
import { compose } from '../src/compose.ts'
import { loadConfig } from '../src/kernel/config.ts'
import { createLogger, type Logger } from '../src/kernel/logger.ts'
import { checkedPort, type Port } from '../src/kernel/port.ts'
import { registry } from '../src/registry.ts'
import { type Client, createClient } from './client.ts'

export const admin = { username: 'boss', email: 'boss@example.com', password: 'the boss of all shops' }

export const quiet: Promise<Logger> = createLogger({ level: 'silent', human: false, service: 'test' })

/** A name that no other test's databases have. */
export const databaseName = (): string => `test_${randomBytes(6).toString('hex')}`

export interface Shop extends Client {
  /** The application, without a socket. */
  fetch(request: Request): Response | Promise<Response>
  /** An admin's access token. */
  adminToken: string
  database: string
  /** A module's database, for what no public face shows. */
  collections(module: string): Promise<NonNullable<mongoose.Connection['db']>>
  close(): Promise<void>
}

/**
 * The whole program in this process, on databases of its own. What modules ask of each other is checked to be what
 * HTTP would carry, unless `wrapPort` puts something else between them.
 */
export async function startShop(
  options: {
    environment?: Record<string, string>
    wrapPort?: (port: Port<object>, implementation: object) => object
  } = {},
): Promise<Shop> {
  const database = options.environment?.MONGODB_DATABASE ?? databaseName()
  const uri = inject('mongodbUri')
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-shop-'))
  const config = loadConfig(
    {
      MONGODB_URI: uri,
      MONGODB_DATABASE: database,
      DATA_DIR: dataDir,
      BCRYPT_COST: '4',
      ADMIN_USERNAME: admin.username,
      ADMIN_EMAIL: admin.email,
      ADMIN_PASSWORD: admin.password,
      // Two cores carry everything at once here; what is slow is not what these tests are about.
      REQUEST_TIMEOUT: '20s',
      ...options.environment,
    },
    registry,
  )
  const composition = await compose({
    config: { ...config, mongodb: { ...config.mongodb, uri } },
    modules: registry,
    logger: await quiet,
    wrapPort: options.wrapPort ?? checkedPort,
  })
  await composition.prepare(new AbortController().signal)
  const client = createClient((path, init) => composition.app.request(path, init))
  const own = await mongoose.createConnection(uri).asPromise()

  return {
    ...client,
    fetch: (request) => composition.app.fetch(request),
    adminToken: await client.login(admin.email, admin.password),
    database,
    async collections(module) {
      const { db } = own.useDb(`${database}_${module}`, { useCache: true })
      if (!db) throw new Error('a connected database has a handle')
      return db
    },
    async close() {
      for (const name of config.hosted) await own.useDb(`${database}_${name}`).dropDatabase()
      await own.close()
      await composition.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}
