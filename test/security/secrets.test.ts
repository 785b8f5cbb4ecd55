import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { decode } from 'hono/jwt'
import mongoose from 'mongoose'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createCredentialIssuer } from '#kernel/ports/service-credential.ts'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { registry } from '#src/registry.ts'
import { addedOperations } from '#test/support/added-routes.ts'
import { type Account, type Answer, createClient, type Json } from '#test/support/client.ts'
import { openCollections } from '#test/support/collections.ts'
import { startMongodbProxy } from '#test/support/mongodb-proxy.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { type Operation, operationsOf } from '#test/support/openapi-operations.ts'
import { type Deployment, deploy, runScript, type Shape, shapes } from '#test/support/processes.ts'
import { requestText, sendRaw } from '#test/support/raw-http.ts'
import { createSecretScanner } from '#test/support/secret-scanner.ts'
import { admin, databaseName, startComposition } from '#test/support/shop.ts'
import { storedDocuments } from '#test/support/stored-documents.ts'

/** Returns a password with characters that JSON escapes or URLs encode. */
const newPassword = () => `"pass" \\ phrase ${randomUUID()} %/@`
const newName = () => `u-${randomUUID().slice(0, 8)}`
const unknownId = '0123456789abcdef01234567'

describe.each(Object.keys(shapes) as Shape[])('the secrets of a whole run, %s', (shape) => {
  const secrets = createSecretScanner()
  const keys = [generatePrivateKey(), generatePrivateKey()]
  const internalSecrets = [randomBytes(32).toString('base64'), randomBytes(32).toString('hex')]
  const mongodb = { user: `user-${randomUUID()}`, password: newPassword() }
  const database = databaseName()
  let settings: Record<string, string>
  let server: mongoose.Connection
  let proxy: Awaited<ReturnType<typeof startMongodbProxy>>
  let shop: Deployment
  /** The databases of the shop, over a connection without the proxy. */
  let stored: Awaited<ReturnType<typeof openCollections>>
  let operations: Operation[]
  /** The output of processes that do not belong to the shop. */
  let otherOutput = ''

  beforeAll(async () => {
    server = await mongoose.createConnection(mongodbUri).asPromise()
    // MongoDB without access control still checks the credentials of a client.
    await server.useDb('admin').db?.command({ createUser: mongodb.user, pwd: mongodb.password, roles: [] })
    proxy = await startMongodbProxy(mongodbUri)
    const account = `mongodb://${mongodb.user}:${encodeURIComponent(mongodb.password)}@`
    settings = {
      MONGODB_URI: `${proxy.uri.replace('mongodb://', account)}&authSource=admin`,
      MONGODB_DATABASE: database,
      BCRYPT_COST: '4',
      REQUEST_TIMEOUT: '20s',
      LOG_LEVEL: 'trace',
      LOGIN_FAILURES_PER_ACCOUNT: '3/1h',
      JWT_PRIVATE_KEYS: JSON.stringify(keys),
      INTERNAL_SECRET: internalSecrets.join(),
    }
    secrets.text('password of MongoDB', mongodb.password)
    for (const { d } of keys) secrets.bytes('private key', d)
    for (const secret of internalSecrets) secrets.text('INTERNAL_SECRET', secret)
    secrets.text('password', admin.password)
    shop = await deploy(shape, settings)
    stored = await openCollections(mongodbUri, database)
    secrets.jwt('access token', shop.adminToken)
    operations = operationsOf((await get('/openapi.json')).body)
  }, 60_000)

  afterAll(async () => {
    expect(await shop.stop()).toBe(0)
    await proxy.disconnect()
    await stored.close()
    for (const { name } of registry) await server.useDb(`${database}_${name}`).dropDatabase()
    await server.useDb('admin').db?.command({ dropUser: mongodb.user })
    await server.close()
  }, 60_000)

  const answers: { what: string; text: string }[] = []
  const requestIds: string[] = []
  const ownersOf = new Map<string, Set<unknown>>()

  /** Records the secrets of each request and answer, and the answer without the tokens that it issues. */
  const client = createClient(async (path, init) => {
    const [route = ''] = path.split('?')
    recordRequest(init)
    const response = await fetch(`${shop.url}${path}`, init)
    const text = await response.clone().text()
    const rest = response.status === 200 && tokenRoutes.includes(route) ? withoutTokens(text) : text
    const what = `${init.method} ${route} ${response.status}`
    answers.push({ what, text: `${JSON.stringify([...response.headers])} ${rest}` })
    requestIds.push(response.headers.get('x-request-id') ?? '')
    return response
  })
  const { request, get, post, put, product, order } = client
  const tokenRoutes = ['/login', '/token/refresh']

  function recordRequest({ headers, body }: RequestInit): void {
    const bearer = /^Bearer (.+)$/.exec(new Headers(headers).get('authorization') ?? '')?.[1]
    if (bearer?.split('.').length === 3) secrets.jwt('access token', bearer)
    const { password, currentPassword, newPassword, refreshToken } = parsed(String(body))
    for (const each of [password, currentPassword, newPassword])
      if (typeof each === 'string') secrets.text('password', each)
    if (typeof refreshToken === 'string') recordRefreshToken(refreshToken)
  }

  function recordRefreshToken(token: string): void {
    secrets.refreshToken(token)
    secrets.refreshTokenHashes(token)
  }

  function parsed(body: string): Json {
    try {
      return JSON.parse(body)
    } catch {
      // The body is malformed. The test that sends it records its secrets.
      return {}
    }
  }

  function withoutTokens(text: string): string {
    const { accessToken, refreshToken, ...rest } = JSON.parse(text)
    secrets.jwt('access token', accessToken)
    recordRefreshToken(refreshToken)
    const owners = ownersOf.get(refreshToken) ?? new Set()
    ownersOf.set(refreshToken, owners.add(decode(accessToken).payload.sub))
    return JSON.stringify(rest)
  }

  /** Returns a secret to be sent in a wrong place. */
  const newStray = (): string => {
    const stray = `stray-${randomUUID()}`
    secrets.text('stray password', stray)
    return stray
  }
  const answered = async (status: number, answer: Promise<Answer>): Promise<Json> => {
    const { status: actual, body } = await answer
    expect(actual, JSON.stringify(body)).toBe(status)
    return body
  }
  const register = (body: object) => post('/register', { body })
  const signIn = (email: string, password: string) => post('/login', { body: { email, password } })
  const refresh = (refreshToken: string) => post('/token/refresh', { body: { refreshToken } })
  const newcomer = () => {
    const username = newName()
    return { username, email: `${username}@example.com`, password: newPassword() }
  }
  async function customer(): Promise<Account> {
    const account = newcomer()
    const { userId } = await answered(201, register(account))
    const { accessToken: token, refreshToken } = await answered(200, signIn(account.email, account.password))
    return { ...account, userId, token, refreshToken }
  }
  async function bought() {
    const { productId } = await product(shop.adminToken)
    const { token } = await customer()
    const { orderId } = await answered(201, order(token, [{ productId, quantity: 1 }]))
    return { orderId, token }
  }
  const asAdmin = (body?: object) => ({ token: shop.adminToken, ...(body && { body }) })
  const authDatabase = () => stored.collections('auth')

  /** Valid and invalid requests of each operation. Requests that end with 500 damage a document first. */
  const scenarios: Record<string, () => Promise<unknown>> = {
    'POST /register': async () => {
      const { username, email } = await customer()
      const other = newcomer()
      await answered(409, register({ ...other, username }))
      await answered(409, register({ ...other, email }))
      await answered(400, register({ ...other, password: `${other.username} ${randomUUID()}` }))
      await answered(400, register({ ...other, password: newPassword().repeat(3) }))
      // The message of MongoDB's own validation contains the refused value.
      const validator = { $jsonSchema: { properties: { passwordHash: { maxLength: 10 } } } }
      await (await authDatabase()).command({ collMod: 'users', validator })
      await answered(500, register(other))
      await (await authDatabase()).command({ collMod: 'users', validator: {} })
    },
    'POST /login': async () => {
      const { username, email, password } = await customer()
      await answered(200, post('/login', { body: { username, password } }))
      await answered(401, post('/login', { body: { username: password, password: newPassword() } }))
      await answered(401, signIn(`${randomUUID()}@example.com`, newPassword()))
      for (const _ of [1, 2, 3]) await answered(401, signIn(email, newPassword()))
      await answered(429, signIn(email, password))
      const damaged = await customer()
      const users = (await authDatabase()).collection('users')
      const passwordHash = `nothing that bcrypt made ${randomUUID()}`
      secrets.text('password hash', passwordHash)
      await users.updateOne({ username: damaged.username }, { $set: { passwordHash } })
      await answered(500, signIn(damaged.email, damaged.password))
    },
    'POST /token/refresh': async () => {
      const { refreshToken } = await customer()
      const second = await answered(200, refresh(refreshToken))
      await answered(200, refresh(refreshToken))
      const third = await answered(200, refresh(second.refreshToken))
      const families = (await authDatabase()).collection('refreshFamilies')
      await families.updateMany({}, { $set: { 'spent.$[].at': new Date(0) } })
      await answered(401, refresh(refreshToken))
      await answered(401, refresh(third.refreshToken))
      await answered(401, refresh(randomBytes(48).toString('base64url')))
      const damaged = await customer()
      await families.updateMany({}, { $set: { spent: null } })
      await answered(500, refresh(damaged.refreshToken))
      await families.deleteMany({})
    },
    'POST /logout': async () => {
      const { refreshToken } = await customer()
      await answered(204, post('/logout', { body: { refreshToken } }))
      await answered(204, post('/logout', { body: { refreshToken } }))
    },
    'GET /profile': async () => {
      const { token, refreshToken, password } = await customer()
      await answered(200, get('/profile', { token }))
      await answered(401, get('/profile', { token: refreshToken }))
      await answered(401, get('/profile', { token: `${token.slice(0, -8)}AAAAAAAA` }))
      const basic = `Basic ${Buffer.from(`ada:${password}`).toString('base64')}`
      await answered(401, get('/profile', { headers: { Authorization: basic } }))
      const much = requestText('GET', '/profile', { Authorization: `Bearer ${newStray().repeat(500)}` })
      expect((await sendRaw(shop.url, much)).status).toBe(431)
      const broken = requestText('GET', `/profile?access_token=${newStray()}`).replace('HTTP/1.1', 'HTTP/9')
      expect((await sendRaw(shop.url, broken)).status).toBe(400)
    },
    'PUT /profile/password': async () => {
      const { token, password, email, username } = await customer()
      const change = (currentPassword: string, newPassword: string) =>
        put('/profile/password', { token, body: { currentPassword, newPassword } })
      await answered(422, change(newPassword(), newPassword()))
      await answered(400, change(password, `${username} ${randomUUID()}`))
      const next = newPassword()
      await answered(204, change(password, next))
      await answered(401, signIn(email, password))
      await answered(200, signIn(email, next))
    },
    'GET /.well-known/jwks.json': () => answered(200, get('/.well-known/jwks.json')),
    'POST /products': () => product(shop.adminToken),
    'POST /products/create_product': () =>
      answered(201, post('/products/create_product', asAdmin({ name: 'Cup', price: 1, stock: 1 }))),
    'GET /products': () => answered(200, get('/products?limit=1&sort=price')),
    'GET /products/{id}': async () => {
      const { productId } = await product(shop.adminToken)
      await answered(200, get(`/products/${productId}`))
      await answered(404, get(`/products/${unknownId}`))
      const products = (await stored.collections('product')).collection('products')
      await products.updateOne(
        { _id: new mongoose.Types.ObjectId(productId) },
        { $set: { createdAt: 'never' } },
      )
      await answered(500, get(`/products/${productId}`))
      await products.deleteOne({ _id: new mongoose.Types.ObjectId(productId) })
    },
    'PUT /products/{id}': async () => {
      const { productId } = await product(shop.adminToken)
      const body = { price: 2, version: 1 }
      await answered(403, put(`/products/${productId}`, { token: (await customer()).token, body }))
      await answered(200, put(`/products/${productId}`, asAdmin(body)))
      await answered(409, put(`/products/${productId}`, asAdmin({ ...body, price: 3 })))
    },
    'PATCH /products/{id}': async () => {
      const { productId, version } = await product(shop.adminToken)
      const body = { price: 2, version }
      const path = `/products/${productId}`
      await answered(403, request('PATCH', path, { token: (await customer()).token, body }))
      await answered(200, request('PATCH', path, asAdmin(body)))
    },
    'DELETE /products/{id}': async () => {
      const { productId } = await product(shop.adminToken)
      await answered(204, request('DELETE', `/products/${productId}`, asAdmin()))
    },
    'POST /products/{id}/stock': async () => {
      const { productId } = await product(shop.adminToken)
      await answered(200, post(`/products/${productId}/stock`, asAdmin({ change: 5 })))
      await answered(409, post(`/products/${productId}/stock`, asAdmin({ change: -500 })))
    },
    'POST /orders': async () => {
      const { token } = await customer()
      const { productId } = await product(shop.adminToken, { stock: 1 })
      await answered(201, order(token, [{ productId, quantity: 1 }]))
      await answered(409, order(token, [{ productId, quantity: 1 }]))
      await answered(422, order(token, [{ productId: unknownId, quantity: 1 }]))
    },
    'GET /products/{id}/stock': async () => {
      const { productId } = await product(shop.adminToken)
      await answered(200, get(`/products/${productId}/stock`, asAdmin()))
      await answered(403, get(`/products/${productId}/stock`, { token: (await customer()).token }))
    },
    'POST /orders/create_order': async () => {
      const { token } = await customer()
      const { productId } = await product(shop.adminToken)
      const body = { productList: [{ productId, quantity: 1 }] }
      await answered(201, post('/orders/create_order', { token, body }))
    },
    'GET /orders': async () => {
      const { token, userId } = await customer()
      await answered(200, get('/orders', { token }))
      await answered(403, get(`/orders?userId=${unknownId}`, { token }))
      await answered(200, get(`/orders?userId=${userId}`, asAdmin()))
    },
    'GET /orders/{id}': async () => {
      const { orderId, token } = await bought()
      await answered(200, get(`/orders/${orderId}`, { token }))
      await answered(404, get(`/orders/${orderId}`, { token: (await customer()).token }))
    },
    'GET /orders/{id}/history': async () => {
      const { orderId, token } = await bought()
      await answered(200, get(`/orders/${orderId}/history`, { token }))
      await answered(404, get(`/orders/${orderId}/history`, { token: (await customer()).token }))
    },
    'PUT /orders/{id}': async () => {
      const { orderId, token } = await bought()
      await answered(403, put(`/orders/${orderId}`, { token, body: { status: 'shipped' } }))
      await answered(200, put(`/orders/${orderId}`, asAdmin({ status: 'shipped' })))
    },
    'PATCH /orders/{id}': async () => {
      const { orderId, token } = await bought()
      await answered(403, request('PATCH', `/orders/${orderId}`, { token, body: { status: 'shipped' } }))
      await answered(200, request('PATCH', `/orders/${orderId}`, asAdmin({ status: 'shipped' })))
    },
    'DELETE /orders/{id}': async () => {
      const { orderId, token } = await bought()
      await answered(200, request('DELETE', `/orders/${orderId}`, { token }))
    },
    'GET /healthz': () => answered(200, get('/healthz')),
    'GET /readyz': () => answered(200, get('/readyz')),
    'GET /openapi.json': () => answered(200, get('/openapi.json')),
    'GET /docs': () => answered(200, get('/docs')),
    'GET /': () => answered(200, get('/')),
    'GET /problems': () => answered(200, get('/problems')),
    'GET /problems/{code}': () => answered(200, get('/problems/forbidden')),
    ...Object.fromEntries(addedOperations.map((added) => [added.name, () => sendAdded(added)])),
  }

  /** Sends the valid request of an added route as each caller. */
  async function sendAdded({ name, method, make, access }: (typeof addedOperations)[number]): Promise<void> {
    const [ada, grace] = [await customer(), await customer()]
    const people = { ada, grace, boss: { ...admin, userId: '', token: shop.adminToken, refreshToken: '' } }
    for (const [caller, account] of [
      ['owner', ada],
      ['another customer', grace],
      ['admin', people.boss],
      ['anonymous', undefined],
    ] as const) {
      const { path, body } = await make(client, people, account ?? ada)
      const { status, body: answer } = await request(method, path, { token: account?.token, body })
      const outcome = access[caller]
      expect(typeof outcome === 'number' ? status : answer.code, `${name}, ${caller}`).toBe(outcome)
    }
  }

  const filled = (path: string) => path.replace('{id}', unknownId).replace('{code}', 'forbidden')

  it('every documented operation is used, with valid and invalid requests', async () => {
    expect(Object.keys(scenarios).toSorted()).toEqual(operations.map(({ name }) => name).toSorted())
    for (const run of Object.values(scenarios)) await run()
  }, 120_000)

  it('every operation is sent secrets in its query and in malformed bodies', async () => {
    for (const { name, method, path, requestBody } of operations) {
      const asked = (query: string, options: object = {}) =>
        request(method, `${filled(path)}${query}`, { token: shop.adminToken, ...options })
      const { status } = await asked(`?access_token=${shop.adminToken}&password=${newStray()}`)
      expect(status, name).toBeLessThan(500)
      const forged = await asked('', { token: shop.adminToken.replace(/\w{20}$/, newStray()) })
      expect(forged.status, name).toBeLessThan(500)
      if (!requestBody) continue
      await answered(400, asked('', { raw: `{"password":"${newStray()}"` }))
      await answered(400, asked('', { raw: newStray() }))
      await answered(400, asked('', { body: { role: newStray(), password: { $gt: newStray() } } }))
      await answered(413, asked('', { raw: `{"password":"${newStray().repeat(40_000)}"}` }))
      const headers = { 'Content-Type': 'text/plain' }
      await answered(415, asked('', { headers, raw: `{"password":"${newStray()}"}` }))
    }
  }, 120_000)

  it('/internal is sent service credentials', async () => {
    // In the split shape the gateway has no such route, but the services call each other for every order.
    const expected = shape === 'split' ? { product: 404, order: 404 } : { product: 400, order: 401 }
    const issue = createCredentialIssuer(internalSecrets[1] ?? '')
    for (const [target, status] of Object.entries(expected)) {
      const credential = await issue(target)
      secrets.jwt('service credential', credential)
      await answered(status, post('/internal/product/reserve', { token: credential, body: { calls: [] } }))
    }
  })

  it('an operator can reset a password', async () => {
    const { username, email } = await customer()
    const password = newPassword()
    secrets.text('password', password)
    const ended = await runScript('cli/admin.ts', ['reset-password', username], settings, password)
    const output = ended.stdout + ended.stderr
    expect(ended.code, output).toBe(0)
    otherOutput += output
    await answered(200, signIn(email, password))
  }, 60_000)

  it('requests fail while the database is unavailable, and succeed afterwards', async () => {
    const people = [await customer(), await customer()]
    await proxy.disconnect()
    const [ada, grace] = people as [Account, Account]
    const unavailable = await Promise.all([
      register(newcomer()),
      signIn(ada.email, ada.password),
      refresh(ada.refreshToken),
      post('/logout', { body: { refreshToken: grace.refreshToken } }),
      get('/profile', { token: ada.token }),
      put('/profile/password', {
        token: ada.token,
        body: { currentPassword: ada.password, newPassword: newPassword() },
      }),
      order(grace.token, [{ productId: unknownId, quantity: 1 }]),
      get('/orders', { token: grace.token }),
      get('/products'),
    ])
    expect(unavailable.map(({ status }) => status)).toEqual(unavailable.map(() => 503))
    // While MongoDB is unavailable for less than 30 s, the process stays ready, and its answer names the database.
    expect(await get('/readyz')).toMatchObject({
      status: 200,
      body: { unavailable: expect.arrayContaining(['database of auth']) },
    })
    await proxy.reconnect()
    await vi.waitFor(
      async () => {
        await answered(200, signIn(grace.email, grace.password))
        await answered(200, get('/orders', { token: grace.token }))
        await answered(200, get('/products'))
      },
      { timeout: 30_000, interval: 200 },
    )
  }, 90_000)

  describe('the exposure of secrets', () => {
    const printed = async (): Promise<string> => {
      // All lines have arrived when the line of the last request has arrived.
      await answered(200, get('/healthz'))
      await vi.waitFor(() => expect(shop.output()).toContain(requestIds.at(-1)), { timeout: 10_000 })
      return shop.output() + otherOutput
    }

    beforeAll(async () => {
      const users = await (await authDatabase()).collection('users').find().toArray()
      for (const { passwordHash } of users) secrets.text('password hash', passwordHash)
    })

    it('the scanner knows secrets of every kind and finds each in a log', async () => {
      const counts = secrets.counts()
      expect(Object.keys(counts).toSorted()).toEqual([
        'INTERNAL_SECRET',
        'access token',
        'hash of a refresh token',
        'password',
        'password hash',
        'password of MongoDB',
        'private key',
        'refresh token',
        'service credential',
        'stray password',
      ])
      for (const kind of ['password', 'access token', 'refresh token', 'password hash', 'stray password'])
        expect(counts[kind], kind).toBeGreaterThan(15)

      const { password, token, refreshToken } = await customer()
      const log = await printed()
      // An answer to a request that the HTTP parser refuses has no request id.
      const ids = requestIds.filter((id) => id !== '')
      expect(ids.length).toBeGreaterThan(200)
      expect(ids.filter((id) => !log.includes(id))).toEqual([])

      const selector = Buffer.from(refreshToken, 'base64url').subarray(0, 16)
      for (const [kind, line] of [
        ['password', JSON.stringify({ body: JSON.stringify({ password }) })],
        ['password', `Authorization: Basic ${Buffer.from(`somebody:${password}!`).toString('base64')}`],
        ['password', `/profile?password=${encodeURIComponent(password)}&more`],
        ['password of MongoDB', `cannot connect to ${settings.MONGODB_URI}`],
        ['access token', `token(${token}) signature mismatched`],
        ['refresh token', JSON.stringify({ refreshToken })],
        ['refresh token', inspect({ selector })],
        ['hash of a refresh token', createHash('sha256').update(selector).digest('hex')],
        ['private key', JSON.stringify(keys)],
        ['INTERNAL_SECRET', JSON.stringify(settings)],
      ] as const) {
        expect(secrets.findIn(`${log}\n${line}\n`), line).toContain(kind)
      }
    }, 60_000)

    it('no secret is in the output of the processes', async () => {
      const log = await printed()
      expect(secrets.findIn(log)).toEqual([])
      // The test does not know the tokens between services, and the hashes that were never stored. So it looks for their forms.
      expect(log.match(/eyJ[\w-]{8,}\.[\w-]+/g)).toBeNull()
      expect(log.match(/\$2[aby]\$\d\d\$.{8}/g)).toBeNull()
    })

    it('no secret is in an answer, and each token is issued to one user', () => {
      const exposed = answers.flatMap(({ what, text }) =>
        secrets.findIn(text).map((secret) => `${what}: ${secret}`),
      )
      expect(exposed).toEqual([])
      expect([...ownersOf.values()].filter(({ size }) => size !== 1)).toEqual([])
    }, 60_000)

    it('no secret is in the command line of a process', () => {
      const processes = readdirSync('/proc')
        .filter((pid) => /^\d+$/.test(pid))
        .flatMap((pid) => {
          try {
            const [, ppid] = /.*\) \S (\d+) /s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
            return [
              { pid: Number(pid), ppid: Number(ppid), line: readFileSync(`/proc/${pid}/cmdline`, 'utf8') },
            ]
          } catch {
            // The process has ended.
            return []
          }
        })
      const ofShop = processes.filter(({ pid, ppid }) => [pid, ppid].includes(shop.child.pid ?? Number.NaN))
      expect(ofShop).toHaveLength(shape === 'split' ? 1 + registry.length : 1)
      for (const { line } of ofShop) expect(line).toMatch(/src\/(main|dev\/split)\.ts/)
      expect(secrets.findIn(processes.map(({ line }) => line).join('\n'))).toEqual([])
    })

    it('the databases contain hashes of passwords and refresh tokens and no other secret', async () => {
      const everything = JSON.stringify(await storedDocuments(stored))
      expect(secrets.findIn(everything)).toEqual(['hash of a refresh token', 'password hash'])
    })
  })
})

describe.each(Object.keys(shapes) as Shape[])('the secrets of a boot, %s', (shape) => {
  const boot = async (settings: Record<string, string>) => {
    const environment = { NODE_ENV: 'production', MONGODB_DATABASE: databaseName(), ...settings }
    const { code, stdout, stderr } = await runScript(shapes[shape], [], environment)
    return { code, output: stdout + stderr }
  }
  const key = generatePrivateKey()
  const hidden = randomUUID()

  it('a boot with eight invalid secrets ends with 1 and one message that names the settings and no value', async () => {
    const other = generatePrivateKey()
    const wrong = {
      MONGODB_URI: `mongo://user:${hidden}@db.example`,
      INTERNAL_SECRET: `short,${hidden}${hidden}`,
      JWT_PRIVATE_KEYS: JSON.stringify([{ ...key, d: other.d }]),
      BCRYPT_COST: '9',
      ADMIN_PASSWORD: `boss ${hidden}`,
      AUTH_URL: `https://user:${hidden}@auth.example`,
      CORS_ORIGINS: `https://user:${hidden}@shop.example`,
      DEMO: 'true',
    }
    const admin = { ADMIN_USERNAME: 'boss', ADMIN_EMAIL: 'boss@example.com' }
    const { code, output } = await boot({ ...wrong, ...admin })
    expect(code).toBe(1)
    const [head, ...faults] = output.trimEnd().split('\n')
    expect(head).toBe('The configuration has 8 faults:')
    const named = faults.map((fault) => /^ {2}- (\w+) /.exec(fault)?.[1]).toSorted()
    expect(named).toEqual(Object.keys(wrong).toSorted())
    for (const secret of [hidden, key.d, other.d]) expect(output).not.toContain(secret)
  })

  it('a boot with a malformed MONGODB_URI ends with 1 and does not print it', async () => {
    const MONGODB_URI = `mongodb://user:${hidden}`
    const { code, output } = await boot({ PORT: '0', MONGODB_URI, JWT_PRIVATE_KEYS: JSON.stringify([key]) })
    expect(code).toBe(1)
    expect(output).toContain('MONGODB_URI is not valid')
    for (const secret of [hidden, key.d]) expect(output).not.toContain(secret)
  })
})

it('only their owner can read the files of secrets in development', async () => {
  const environment = { ADMIN_USERNAME: '', ADMIN_EMAIL: '', ADMIN_PASSWORD: '', DEMO: 'true' }
  const { config, composition, close } = await startComposition({ environment })
  await composition.prepare(new AbortController().signal)
  const files = (await readdir(config.dataDir)).toSorted()
  expect(files).toEqual(['demo-admin-password', 'jwt-private-keys.json'])
  for (const file of files) {
    expect((await stat(join(config.dataDir, file))).mode & 0o777, file).toBe(0o600)
  }
  const server = await mongoose.createConnection(mongodbUri).asPromise()
  for (const { name } of registry) await server.useDb(`${config.mongodb.database}_${name}`).dropDatabase()
  await server.close()
  await close()
})
