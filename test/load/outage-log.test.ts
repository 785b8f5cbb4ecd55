import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { startMongodbProxy } from '#test/support/mongodb-proxy.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { textOf } from '#test/support/output.ts'
import { processEnvironment } from '#test/support/processes.ts'
import { expectFigures, isFull } from './figures.ts'

// While a service or a database is away, each request fails. The log tells so in a few lines, and counts the requests.

const durationMs = isFull ? 20_000 : 2_000
const connections = 64
// Nothing listens on this port.
const absent = 'http://127.0.0.1:9'
// Each token must look like one, so that the service needs the key to verify it.
const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
const token = `${part({ alg: 'EdDSA', kid: 'one' })}.${part({})}.${'A'.repeat(86)}`

/** Starts the program, and stops it at the end of the test. */
async function start(settings: Record<string, string>) {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-outage-'))
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  const env = { ...processEnvironment(), DATA_DIR: dataDir, ...settings }
  const child = fork(main, { env, silent: true, execArgv: [] })
  const output = textOf(child.stdout)
  const ended = once(child, 'close')
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
    await rm(dataDir, { recursive: true, force: true })
  }
  onTestFinished(stop)
  const [{ port }] = await Promise.race([once(child, 'message'), ended])
  return { url: `http://127.0.0.1:${port}`, output, stop }
}

/** Sends requests over all connections until the time is over. @returns the number of answers by status */
async function offer(url: string, headers: Record<string, string> = {}): Promise<Record<number, number>> {
  const endsAtMs = performance.now() + durationMs
  const answers: Record<number, number> = {}
  const send = async () => {
    while (performance.now() < endsAtMs) {
      const answer = await fetch(url, { headers })
      await answer.body?.cancel()
      answers[answer.status] = (answers[answer.status] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: connections }, send))
  return answers
}

it.each([
  ['MongoDB', '/products', () => ({})],
  [
    'a neighbour',
    '/orders',
    () => ({ SERVICE: 'order', AUTH_URL: absent, PRODUCT_URL: absent, INTERNAL_SECRET: 'x'.repeat(32) }),
  ],
])(
  'the log stays small while %s is away, and counts every request that fails',
  async (away, path, settings) => {
    const mongodb = await startMongodbProxy(mongodbUri)
    const { url, output, stop } = await start({ MONGODB_URI: mongodb.uri, ...settings() })
    if (away === 'MongoDB') await mongodb.disconnect()
    const lengthBefore = output().length
    const startedAtMs = performance.now()
    const answers = await offer(`${url}${path}`, { authorization: `Bearer ${token}` })
    const seconds = (performance.now() - startedAtMs) / 1_000
    const kibPerSecond = (output().length - lengthBefore) / 1024 / seconds
    if (away === 'MongoDB') await mongodb.reconnect()
    await stop()

    expect(Object.keys(answers)).toEqual(['503'])
    const lines = output()
      .slice(lengthBefore)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    const failed = lines.filter(({ status }) => status === 503)
    expect(failed[0]).toMatchObject({ level: 40, route: path, code: 'dependency_unavailable' })
    expect(failed.reduce((sum, { count = 1 }) => sum + count, 0)).toBe(answers[503])
    expect(output()).not.toContain('"stack"')
    expectFigures(`${away} is away, ${connections} connections send requests`, [
      { name: 'log', value: kibPerSecond, unit: 'KiB/s', atMost: 16 },
      { name: 'requests for each line', value: (answers[503] ?? 0) / failed.length, unit: '', atLeast: 8 },
    ])
  },
  120_000,
)
