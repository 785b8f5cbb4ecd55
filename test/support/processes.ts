import { type ChildProcess, execFile, fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Client, createClient } from './client.ts'
import { type Collections, openCollections } from './collections.ts'
import { mongodbUri } from './mongodb-uri.ts'
import { outputOf } from './output.ts'
import { recordAnswers } from './recorded-answers.ts'
import { admin, databaseName, manyClients } from './shop.ts'

/** The program as processes with sockets and an environment. */
export interface Deployment extends Client, Collections {
  url: string
  /** If the settings have a MANAGEMENT_PORT. */
  managementPort: number | undefined
  adminToken: string
  /** Process ids by module, in the split shape. */
  pids: Record<string, number>
  child: ChildProcess
  /** The output of all processes so far. */
  output(): string
  stop(): Promise<number | null>
}

export const shapes = { 'one process': 'main.ts', split: 'dev/split.ts' } as const
export type Shape = keyof typeof shapes

const { PATH = '', HOME = '' } = process.env
/** The environment variables that each script of the program needs. */
export const scriptEnvironment = {
  PATH,
  HOME,
  // Half of the time that a process needs to start is the compilation of TypeScript.
  NODE_COMPILE_CACHE: join(tmpdir(), 'trivet-compile-cache'),
}

/** The environment variables of a process that a test starts, with a database of its own. */
export const processEnvironment = () => ({
  ...scriptEnvironment,
  MONGODB_URI: mongodbUri,
  MONGODB_DATABASE: databaseName(),
  PORT: '0',
  BCRYPT_COST: '4',
  ADMIN_USERNAME: admin.username,
  ADMIN_EMAIL: admin.email,
  ADMIN_PASSWORD: admin.password,
  ...manyClients,
})

interface Ready {
  port: number
  managementPort?: number
  pids?: Record<string, number>
}

export async function deploy(shape: Shape, settings: Record<string, string> = {}): Promise<Deployment> {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-deployment-'))
  const script = fileURLToPath(new URL(`../../src/${shapes[shape]}`, import.meta.url))
  const env = { ...processEnvironment(), DATA_DIR: dataDir, ...settings }
  const child = fork(script, { env, silent: true, execArgv: [] })
  const output = outputOf(child)
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const ready = new Promise<Ready>((resolve) => {
    child.once('message', (message) => resolve(message as Ready))
  })
  const started = await Promise.race([ready, ended])
  if (started === null || typeof started === 'number') throw new Error(`did not start:\n${output()}`)

  const url = `http://127.0.0.1:${started.port}`
  const client = createClient(recordAnswers((path, init) => fetch(`${url}${path}`, init)))
  const own = await openCollections(env.MONGODB_URI, env.MONGODB_DATABASE)
  return {
    ...client,
    url,
    managementPort: started.managementPort,
    adminToken: await client.login(admin.email, admin.password),
    pids: started.pids ?? {},
    child,
    collections: own.collections,
    output,
    async stop() {
      child.kill('SIGTERM')
      await own.close()
      const code = await ended
      await rm(dataDir, { recursive: true, force: true })
      return code
    },
  }
}

/**
 * Runs a script of the program to its end.
 * @param script its path in `src`
 * @param input its standard input
 */
export function runScript(
  script: string,
  args: readonly string[],
  environment: Record<string, string>,
  input: string | Buffer = '',
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const path = fileURLToPath(new URL(`../../src/${script}`, import.meta.url))
  const env = { ...scriptEnvironment, ...environment }
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [path, ...args], { env }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    )
    child.stdin?.end(input)
  })
}
