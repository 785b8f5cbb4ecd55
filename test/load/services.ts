import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { urlVariable } from '#kernel/config/general-settings.ts'
import { freePort } from '#src/embedded/free-port.ts'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { registry } from '#src/registry.ts'
import { type Audit, auditReport } from '#test/support/audit-command.ts'
import { type Client, createClient } from '#test/support/client.ts'
import { type Collections, openCollections } from '#test/support/collections.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { outputOf } from '#test/support/output.ts'
import { processEnvironment, type Shape } from '#test/support/processes.ts'
import { admin } from '#test/support/shop.ts'

/** A process of the program with an address that stays the same. */
export interface Service {
  url: string
  /**
   * Resolves once the process is ready.
   * @param settings environment variables that this process has in addition
   */
  start(settings?: Record<string, string>): Promise<void>
  /** Sends SIGKILL, and resolves when the process has ended. */
  kill(): Promise<void>
  /** Stops the process with SIGSTOP: its sockets stay open. */
  freeze(): void
  thaw(): void
  /** The output of all its processes so far. */
  output(): string
}

/** The program as processes that a test kills, freezes and starts again. Clients and services connect to them directly. */
export interface Services extends Collections {
  /** The process that hosts a module. */
  of(module: string): Service
  client(module: string): Client
  adminToken: string
  /** Creates products with a large stock, and returns their ids. */
  createProducts(): Promise<string[]>
  /** `npm run audit -- --json` */
  audit(): Promise<Audit>
  stop(): Promise<void>
}

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export async function startServices(
  shape: Shape,
  settings: Record<string, string> = {},
  uri: string = mongodbUri,
): Promise<Services> {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-load-'))
  const environment = {
    ...processEnvironment(),
    MONGODB_URI: uri,
    DATA_DIR: dataDir,
    // With a fixed key and a long lifetime, access tokens stay valid whichever process ends.
    JWT_PRIVATE_KEYS: JSON.stringify([generatePrivateKey()]),
    ACCESS_TOKEN_TTL: '1d',
    HOST: '127.0.0.1',
  }
  const names = shape === 'split' ? registry.map(({ name }) => name) : ['all']
  const ports = new Map<string, number>()
  for (const name of names) ports.set(name, await freePort())
  const urls = [...ports].map(([name, port]) => [urlVariable(name), `http://127.0.0.1:${port}`])
  const remote = { ...Object.fromEntries(urls), INTERNAL_SECRET: 'a secret that only these services know' }
  const services = new Map(
    [...ports].map(([name, port]) => {
      const own = { SERVICE: name, PORT: String(port), ...(shape === 'split' && remote) }
      return [name, createService(port, { ...environment, ...own, ...settings })] as const
    }),
  )
  const databases = await openCollections(uri, environment.MONGODB_DATABASE)
  const of = (module: string): Service => {
    const service = services.get(module) ?? services.get('all')
    if (!service) throw new Error(`no process hosts ${module}`)
    return service
  }
  const client = (module: string) => createClient((path, init) => fetch(`${of(module).url}${path}`, init))
  const stop = async () => {
    await Promise.all([...services.values()].map((service) => service.kill()))
    await databases.close()
    await rm(dataDir, { recursive: true, force: true })
  }
  try {
    await Promise.all([...services.values()].map((service) => service.start()))
    const adminToken = await client('auth').login(admin.email, admin.password)
    const createProduct = () => client('product').product(adminToken, { stock: 10_000_000 })
    return {
      of,
      client,
      adminToken,
      createProducts: async () => {
        const products = await Promise.all(Array.from({ length: 20 }, createProduct))
        return products.map(({ productId }) => productId)
      },
      collections: databases.collections,
      audit: () => auditReport(environment),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function createService(port: number, env: Record<string, string>): Service {
  const outputs: (() => string)[] = []
  const output = () => outputs.map((each) => each()).join('')
  let current: { child: ChildProcess; ended: Promise<void> } | undefined
  return {
    url: `http://127.0.0.1:${port}`,
    async start(settings = {}) {
      const child = fork(main, { env: { ...env, ...settings }, silent: true, execArgv: [] })
      outputs.push(outputOf(child))
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      current = { child, ended }
      const failed = ended.then(() => Promise.reject(new Error(`the process ended:\n${output()}`)))
      await Promise.race([new Promise((resolve) => child.once('message', resolve)), failed])
    },
    async kill() {
      current?.child.kill('SIGKILL')
      await current?.ended
    },
    freeze: () => void current?.child.kill('SIGSTOP'),
    thaw: () => void current?.child.kill('SIGCONT'),
    output,
  }
}
