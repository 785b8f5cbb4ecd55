import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, vi } from 'vitest'
import { urlVariable } from '#kernel/config/general-settings.ts'
import { freePort } from '#src/embedded/free-port.ts'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { registry } from '#src/registry.ts'
import type { RunningShop } from '#test/faults/fleet.ts'
import { createClient } from '#test/support/client.ts'
import { openCollections } from '#test/support/collections.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { outputOf } from '#test/support/output.ts'
import { admin, databaseName, manyClients } from '#test/support/shop.ts'
import { startDnsServer } from './dns-server.ts'
import { type Nginx, startNginx } from './nginx.ts'

/** One process of a service, in place of a container. It has the same address after each restart. */
export interface Replica {
  address: string
  /** Resolves when the process is ready. */
  start(): Promise<void>
  /** Sends SIGTERM. Resolves when the process has ended. */
  stop(): Promise<{ code: number | null; milliseconds: number }>
  kill(): Promise<void>
  freeze(): void
  thaw(): void
  /** The output of all processes of the replica so far. */
  output(): string
}

export interface ReplicatedService {
  name: string
  replicas: readonly [Replica, Replica]
}

/** Services with two replicas each behind NGINX, like those of `docker compose up auth product order nginx`. */
export interface ReplicatedShop extends RunningShop {
  nginx: Nginx
  services: readonly ReplicatedService[]
  service(name: string): ReplicatedService
  /** One process that hosts all services, with the same databases and an address of its own. */
  monolith: Replica
  /** From now on, the names of the services resolve to the replicas, or to the monolith. */
  resolveNamesTo(to: 'services' | 'monolith'): void
  /** Waits until NGINX has queried each name since its last change. A load must send requests for all services meanwhile. */
  untilNginxHasQueriedNames(): Promise<void>
  stop(): Promise<void>
}

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))
const resolveNames = new URL('use-dns-server.ts', import.meta.url).href
/** NGINX uses this name for requests that any service can answer. */
const anyService = 'trivet'

export async function startReplicatedShop(binary: string): Promise<ReplicatedShop> {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-replicas-'))
  const names = await startDnsServer()
  const port = await freePort()
  const modules = registry.map(({ name }) => name)
  const database = databaseName()
  const environment = {
    PATH: process.env.PATH ?? '',
    HOME: process.env.HOME ?? '',
    NODE_ENV: 'production',
    MONGODB_URI: mongodbUri,
    MONGODB_DATABASE: database,
    DATA_DIR: dataDir,
    JWT_PRIVATE_KEYS: JSON.stringify([generatePrivateKey()]),
    INTERNAL_SECRET: randomBytes(32).toString('base64url'),
    // The lowest cost that production accepts, because these tests do not measure hashing.
    BCRYPT_COST: '10',
    ADMIN_USERNAME: admin.username,
    ADMIN_EMAIL: admin.email,
    ADMIN_PASSWORD: admin.password,
    TRUSTED_PROXIES: '127.0.0.1',
    ...manyClients,
    NAMES_SERVER: names.address,
    PORT: String(port),
    ...Object.fromEntries(modules.map((name) => [urlVariable(name), `http://${name}:${port}`])),
  }
  let resolvesTo: 'services' | 'monolith' = 'services'

  const services = modules.map((name, nth) => {
    const replica = (number: number) =>
      createReplica(`127.0.${nth + 1}.${number}`, { ...environment, SERVICE: name }, updateNames)
    return { name, replicas: [replica(1), replica(2)] as const }
  })
  const monolith = createReplica('127.0.9.1', { ...environment, SERVICE: 'all' }, updateNames)
  const replicas = services.flatMap((service) => service.replicas)

  /** Resolves names as Docker does: a container has its name from its start to its end, even if it is not ready. */
  function updateNames() {
    const addressesOf = (all: readonly TestReplica[]) =>
      all.filter(({ runs }) => runs()).map(({ address }) => address)
    for (const { name, replicas: own } of services) {
      names.setAddresses(name, resolvesTo === 'services' ? addressesOf(own) : addressesOf([monolith]))
    }
    names.setAddresses(
      anyService,
      resolvesTo === 'services' ? addressesOf(replicas) : addressesOf([monolith]),
    )
  }

  const nginx = await startNginx(binary, { resolver: names.address, servicePort: port })
  const own = await openCollections(environment.MONGODB_URI, database)
  const stop = async () => {
    await Promise.all([...replicas, monolith].map((replica) => replica.kill()))
    await nginx.stop()
    for (const name of modules) await (await own.collections(name)).dropDatabase()
    await own.close()
    await names.close()
    await rm(dataDir, { recursive: true, force: true })
  }
  try {
    await Promise.all(replicas.map((replica) => replica.start()))
    const client = createClient((path, init) => fetch(`${nginx.url}${path}`, init))
    return {
      ...client,
      adminToken: await client.login(admin.email, admin.password),
      collections: own.collections,
      nginx,
      services,
      service(name) {
        const found = services.find((service) => service.name === name)
        if (!found) throw new Error(`there is no service ${name}`)
        return found
      },
      monolith,
      resolveNamesTo(to) {
        resolvesTo = to
        updateNames()
      },
      async untilNginxHasQueriedNames() {
        const all = [...modules, anyService]
        await vi.waitFor(() => expect(all.filter((name) => !names.wasQueried(name))).toEqual([]), {
          timeout: 30_000,
          interval: 20,
        })
      },
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

interface TestReplica extends Replica {
  runs(): boolean
}

function createReplica(
  address: string,
  environment: Record<string, string>,
  updateNames: () => void,
): TestReplica {
  const outputs: (() => string)[] = []
  const output = () => outputs.map((each) => each()).join('')
  let current: { child: ChildProcess; ended: Promise<number | null> } | undefined

  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    current?.child.kill(signal)
    return (await current?.ended) ?? null
  }
  return {
    address,
    runs: () => current !== undefined,
    async start() {
      if (current) throw new Error(`${address} still runs`)
      const env = { ...environment, HOST: address }
      const child = fork(main, { env, silent: true, execArgv: ['--import', resolveNames] })
      outputs.push(outputOf(child))
      const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
      current = { child, ended }
      updateNames()
      void ended.then(() => {
        current = undefined
        updateNames()
      })
      const ready = new Promise<true>((resolve) => child.once('message', () => resolve(true)))
      if ((await Promise.race([ready, ended])) !== true)
        throw new Error(`${address} did not start:\n${output()}`)
    },
    async stop() {
      const started = performance.now()
      const code = await end('SIGTERM')
      return { code, milliseconds: Math.round(performance.now() - started) }
    },
    async kill() {
      await end('SIGKILL')
    },
    freeze: () => current?.child.kill('SIGSTOP'),
    thaw: () => current?.child.kill('SIGCONT'),
    output,
  }
}
