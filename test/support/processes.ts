import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inject } from 'vitest'
import { type Client, createClient } from './client.ts'
import { type Collections, openCollections } from './collections.ts'
import { admin, databaseName, manyClients } from './shop.ts'

/** The program as its users run it: processes, sockets, an environment. */
export interface Deployment extends Client, Collections {
  url: string
  adminToken: string
  /** Process ids by module, in the split shape. */
  pids: Record<string, number>
  child: ChildProcess
  /** All that it has printed. */
  output(): string
  stop(): Promise<number | null>
}

export const shapes = { 'one process': 'main.ts', split: 'dev/split.ts' } as const
export type Shape = keyof typeof shapes

export const environment = () => ({
  MONGODB_URI: inject('mongodbUri'),
  MONGODB_DATABASE: databaseName(),
  PORT: '0',
  BCRYPT_COST: '4',
  ADMIN_USERNAME: admin.username,
  ADMIN_EMAIL: admin.email,
  ADMIN_PASSWORD: admin.password,
  ...manyClients,
})

/** All that a process has printed, on either stream. */
export function outputOf({ stdout, stderr }: ChildProcess): () => string {
  let printed = ''
  for (const stream of [stdout, stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
    })
  }
  return () => printed
}

export async function deploy(shape: Shape, settings: Record<string, string> = {}): Promise<Deployment> {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-deployment-'))
  const script = fileURLToPath(new URL(`../../src/${shapes[shape]}`, import.meta.url))
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    DATA_DIR: dataDir,
    ...environment(),
    ...settings,
  }
  const child = fork(script, {
    env,
    silent: true,
    execArgv: [],
  })
  const output = outputOf(child)
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const ready = new Promise<{ port: number; pids?: Record<string, number> }>((resolve) => {
    child.once('message', (message) => resolve(message as { port: number }))
  })
  const started = await Promise.race([ready, ended])
  if (started === null || typeof started === 'number') throw new Error(`did not start:\n${output()}`)

  const url = `http://127.0.0.1:${started.port}`
  const client = createClient((path, init) => fetch(`${url}${path}`, init))
  const own = await openCollections(env.MONGODB_URI, env.MONGODB_DATABASE)
  return {
    ...client,
    url,
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

/** Runs a script of the program to its end. */
export async function runProgram(script: string, args: readonly string[], settings: Record<string, string>) {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-program-'))
  const { PATH = '', HOME = '' } = process.env
  const env = { PATH, HOME, ...environment(), DATA_DIR: dataDir, ...settings }
  const path = fileURLToPath(new URL(`../../src/${script}`, import.meta.url))
  const child = fork(path, [...args], { env, silent: true, execArgv: [] })
  const output = outputOf(child)
  try {
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
    return { code, output: output() }
  } finally {
    child.kill('SIGKILL')
    await rm(dataDir, { recursive: true, force: true })
  }
}
