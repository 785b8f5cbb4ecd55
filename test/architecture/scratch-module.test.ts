import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createCall } from '#kernel/call.ts'
import { loadConfig } from '#kernel/config/load-config.ts'
import { createHttpClient } from '#kernel/ports/http-client.ts'
import { createCredentialIssuer } from '#kernel/ports/service-credential.ts'
import { type Composition, compose } from '#src/host/compose.ts'
import { joinProblems } from '#src/http/join-problems.ts'
import { registry } from '#src/registry.ts'
import type { Json } from '#test/support/client.ts'
import { databaseName, quiet } from '#test/support/shop.ts'
import { type ShelfPort, shelfPort } from '../fixtures/shelf-module/contract.ts'
import { shelf } from '../fixtures/shelf-module/module.ts'

const modules = [...registry, shelf]
const secret = 'a secret of thirty-two characters'
const uri = inject('mongodbUri')

describe.each(['all', 'shelf'])('A module that is a folder and a line, with SERVICE=%s,', (service) => {
  let dataDir: string
  let composition: Composition
  const environment = (settings: Record<string, string> = {}) => ({
    MONGODB_URI: uri,
    MONGODB_DATABASE: databaseName(),
    DATA_DIR: dataDir,
    BCRYPT_COST: '4',
    SERVICE: service,
    INTERNAL_SECRET: secret,
    SHELF_CAPACITY: '3',
    ...settings,
  })
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'trivet-shelf-'))
    const config = loadConfig(environment(), modules)
    const mongodb = { ...config.mongodb, uri }
    composition = await compose({ config: { ...config, mongodb }, modules, logger: await quiet })
    await composition.prepare(new AbortController().signal)
  })
  afterAll(async () => {
    await composition.close()
    await rm(dataDir, { recursive: true, force: true })
  })

  const get = async (path: string) => {
    const answer = await composition.app.request(path)
    return { status: answer.status, body: (await answer.json()) as Json }
  }

  it('has its route and its problem in the document', async () => {
    const { body } = await get('/openapi.json')
    const { responses } = body.paths['/shelf/{count}'].get
    const [, , , name] = responses[409].$ref.split('/')
    expect(body.components.responses[name].description).toContain('Choose another shelf.')
  })

  it('has a page for its problem', async () => {
    expect(await get('/problems/shelf_full')).toEqual({
      status: 200,
      body: { code: 'shelf_full', status: 409, title: 'The shelf is full', advice: 'Choose another shelf.' },
    })
  })

  it('reads its setting, and answers its own error', async () => {
    expect(await get('/shelf/3')).toEqual({ status: 200, body: { count: 3 } })
    expect(await get('/shelf/4')).toMatchObject({ status: 409, body: { code: 'shelf_full', count: 4 } })
  })

  it('refuses a wrong value of its setting', () => {
    expect(() => loadConfig(environment({ SHELF_CAPACITY: '0' }), modules)).toThrow('SHELF_CAPACITY')
  })

  it('answers calls of its port over HTTP, its own error among them', async () => {
    const http = createHttpClient({
      target: shelfPort.name,
      url: 'http://shelf.test',
      credential: createCredentialIssuer(secret),
      logger: await quiet,
      problems: joinProblems(modules),
      fetch: async (url, init) => composition.app.request(String(url), init),
    })
    const port = shelf.connect?.(http) as ShelfPort
    expect(await port.put({ count: 2 }, createCall(10_000, 'test'))).toEqual({ count: 2 })
    await expect(port.put({ count: 4 }, createCall(10_000, 'test'))).rejects.toMatchObject({
      code: 'shelf_full',
      members: { count: 4 },
    })
  })
})
