import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCall } from '#kernel/call.ts'
import { loadConfig, misnamedSettingWarning } from '#kernel/config/load-config.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { createHttpClient } from '#kernel/ports/http-client.ts'
import { createCredentialIssuer } from '#kernel/ports/service-credential.ts'
import { type Composition, compose } from '#src/host/compose.ts'
import { joinProblems } from '#src/http/join-problems.ts'
import type { Json } from '#test/support/client.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { outputOf } from '#test/support/output.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { databaseName } from '#test/support/shop.ts'
import { type ShelfPort, shelfPort } from '../fixtures/shelf-module/contract.ts'
import { shelf } from '../fixtures/shelf-module/module.ts'
import { registryWithShelf } from '../fixtures/shelf-registry.ts'

// A new module is a folder and one line of a registry. The module of the fixture proves it.

const secret = 'a secret of thirty-two characters'

let dataDir: string
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'trivet-shelf-'))
})
afterAll(() => rm(dataDir, { recursive: true, force: true }))

const environment = (settings: Record<string, string> = {}) => ({
  MONGODB_URI: mongodbUri,
  MONGODB_DATABASE: databaseName(),
  DATA_DIR: dataDir,
  BCRYPT_COST: '4',
  INTERNAL_SECRET: secret,
  SHELF_CAPACITY: '3',
  ...settings,
})

type Get = (path: string) => Promise<{ status: number; body: Json }>

/** Tests what every process of the program serves for a new module. */
function itServesTheModule(get: Get) {
  it('the OpenAPI document describes the route and the problem of a new module', async () => {
    const { body } = await get('/openapi.json')
    const { responses } = body.paths['/shelf/{count}'].get
    const [, , , name] = responses[409].$ref.split('/')
    expect(body.components.responses[name].description).toContain('Choose another shelf.')
  })

  it('the problem of a new module has a page', async () => {
    expect(await get('/problems/shelf_full')).toMatchObject({
      status: 200,
      body: { code: 'shelf_full', status: 409, title: 'The shelf is full', advice: 'Choose another shelf.' },
    })
  })

  it('the route of a new module uses its setting and answers with its problem', async () => {
    expect(await get('/shelf/3')).toEqual({ status: 200, body: { count: 3 } })
    expect(await get('/shelf/4')).toMatchObject({ status: 409, body: { code: 'shelf_full', count: 4 } })
  })
}

describe.each(['shelf-main.ts', 'shelf-split.ts'])('the program with one more module, %s', (script) => {
  let url: string
  let stop: () => Promise<number | null>
  beforeAll(async () => {
    const { PATH = '', HOME = '' } = process.env
    const child = fork(fileURLToPath(new URL(`../fixtures/${script}`, import.meta.url)), {
      env: { PATH, HOME, PORT: '0', ...environment() },
      silent: true,
      execArgv: [],
    })
    const output = outputOf(child)
    const exited = once(child, 'exit').then(([code]) => code as number | null)
    stop = async () => {
      child.kill('SIGTERM')
      return exited
    }
    const ready = await Promise.race([once(child, 'message'), exited])
    if (!Array.isArray(ready)) throw new Error(`the program did not start:\n${output()}`)
    const [{ port }] = ready as [{ port: number }]
    url = `http://127.0.0.1:${port}`
  })
  afterAll(async () => {
    expect(await stop()).toBe(0)
  })

  itServesTheModule(async (path) => {
    const answer = await fetch(`${url}${path}`)
    return { status: answer.status, body: (await answer.json()) as Json }
  })
})

describe('a process that hosts the new module alone', () => {
  let composition: Composition
  beforeAll(async () => {
    const config = loadConfig(environment({ SERVICE: 'shelf' }), registryWithShelf)
    const mongodb = { ...config.mongodb, uri: mongodbUri }
    composition = await compose({
      config: { ...config, mongodb },
      modules: registryWithShelf,
      logger: await quiet,
      metrics: createMetrics(),
    })
    await composition.prepare(new AbortController().signal)
  })
  afterAll(() => composition.close())

  itServesTheModule(async (path) => {
    const answer = await composition.app.request(path)
    return { status: answer.status, body: (await answer.json()) as Json }
  })

  it('a process that hosts a new module alone answers calls of its port over HTTP, also with its problem', async () => {
    const http = createHttpClient({
      target: shelfPort.name,
      url: 'http://shelf.test',
      credential: createCredentialIssuer(secret),
      logger: await quiet,
      metrics: createMetrics(),
      problems: joinProblems(registryWithShelf),
      fetch: async (target, init) => composition.app.request(String(target), init),
    })
    const port = shelf.connect?.(http).port as ShelfPort
    expect(await port.put({ count: 2 }, createCall(10_000, 'test'))).toEqual({ count: 2 })
    await expect(port.put({ count: 4 }, createCall(10_000, 'test'))).rejects.toMatchObject({
      code: 'shelf_full',
      members: { count: 4 },
    })
  })
})

it('the configuration refuses a wrong value of the setting of the new module', () => {
  expect(() => loadConfig(environment({ SHELF_CAPACITY: '0' }), registryWithShelf)).toThrow('SHELF_CAPACITY')
})

it('the configuration warns about another name of the setting of the new module', () => {
  const { misnamedSettings } = loadConfig(environment({ SHELF_SIZE: '9' }), registryWithShelf)
  expect(misnamedSettings.map(misnamedSettingWarning)).toEqual([
    'SHELF_SIZE is not a setting; SHELF_CAPACITY was probably meant',
  ])
})
