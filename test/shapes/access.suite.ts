import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import { beforeAll, describe, expect, it } from 'vitest'
import { createCredentialIssuer } from '#kernel/ports/service-credential.ts'
import { registry } from '#src/registry.ts'
import { addedRoutes } from '#test/support/added-routes.ts'
import type { Account, Answer, RequestOptions } from '#test/support/client.ts'
import { type Operation, operationsOf } from '#test/support/openapi-operations.ts'
import { problems } from '#test/support/problems.ts'
import type { Deployment, Shape } from '#test/support/processes.ts'
import {
  type Access,
  type Caller,
  callers,
  type Outcome,
  toAdmins,
  toAnyone,
  toOwnerAndAdmins,
  toUsers,
} from '#test/support/route-tests.ts'
import { startComposition } from '#test/support/shop.ts'
import { storedHashes } from '#test/support/stored-documents.ts'
import {
  createPeople,
  type OperationName,
  operationNames,
  type People,
  type ValidRequest,
  validRequests,
} from '#test/support/valid-requests.ts'

const ofOrders = (status: number) => toOwnerAndAdmins(status, 'order_not_found')

/** The outcome of each operation for each caller. A test compares the operations with the routes. */
const access: Record<OperationName, Access> = {
  'POST /register': toAnyone(201),
  'POST /login': toAnyone(200),
  'POST /token/refresh': toAnyone(200),
  'POST /logout': toAnyone(204),
  'GET /profile': toUsers(200),
  'PUT /profile/password': toUsers(204),
  'GET /.well-known/jwks.json': toAnyone(200),

  'POST /products': toAdmins(201),
  'POST /products/create_product': toAdmins(201),
  'GET /products': toAnyone(200),
  'GET /products/{id}': toAnyone(200),
  'PUT /products/{id}': toAdmins(200),
  'PATCH /products/{id}': toAdmins(200),
  'DELETE /products/{id}': toAdmins(204),
  'POST /products/{id}/stock': toAdmins(200),
  'GET /products/{id}/stock': toAdmins(200),

  'POST /orders': toUsers(201),
  'POST /orders/create_order': toUsers(201),
  'GET /orders': toUsers(200),
  'GET /orders/{id}': ofOrders(200),
  'GET /orders/{id}/history': ofOrders(200),
  'PUT /orders/{id}': ofOrders(200),
  'PATCH /orders/{id}': ofOrders(200),
  'DELETE /orders/{id}': ofOrders(200),

  'GET /healthz': toAnyone(200),
  'GET /readyz': toAnyone(200),
  'GET /openapi.json': toAnyone(200),
  'GET /docs': toAnyone(200),
  'GET /': toAnyone(200),
  'GET /problems': toAnyone(200),
  'GET /problems/{code}': toAnyone(200),

  ...addedRoutes.access,
}

/** Access of each caller to each operation of a deployment, whose INTERNAL_SECRET is `internalSecret`. */
export function accessSuite(shape: Shape, deployment: () => Deployment, internalSecret: string) {
  describe('the access table', () => {
    let shop: Deployment
    let people: People
    let operations: Operation[]
    beforeAll(async () => {
      shop = deployment()
      people = await createPeople(shop)
      operations = operationsOf((await shop.get('/openapi.json')).body)
    })

    const credentials = createCredentialIssuer(internalSecret)

    /** Issues a service credential for the module that answers this path. */
    const credentialFor = (path: string): Promise<string> => {
      const module = registry.find(({ api }) => Object.values(api).some((route) => route.path === path))
      return credentials(module?.name ?? 'product')
    }

    const make = async (name: OperationName, account: Account = people.ada): Promise<ValidRequest> =>
      validRequests[name](shop, people, account)

    const ask = (name: string, { path, body }: ValidRequest, options: RequestOptions = {}) =>
      shop.request(name.split(' ')[0] ?? '', path, { body, ...options })

    const expectOutcome = (answer: Answer, expected: Outcome, label = '') => {
      const { status, body, headers } = answer
      if (typeof expected === 'number')
        return expect({ status, body }, label).toMatchObject({ status: expected })
      const refusal = { status: problems[expected]?.status, code: expected }
      expect({ status, code: body.code }, label).toEqual(refusal)
      expect(headers.has('www-authenticate'), label).toBe(refusal.status === 401)
    }

    it('the access table has every documented operation and no other', () => {
      const documented = operations.map(({ name }) => name).sort()
      expect(Object.keys(access).sort()).toEqual(documented)
    })

    it('the document names the role of an operation that only admins may use', () => {
      for (const { name, security } of operations) {
        const { anonymous, owner } = access[name as OperationName]
        const roles = owner === 'forbidden' ? ['admin'] : []
        expect(security, name).toEqual(anonymous === 'unauthenticated' ? [{ accessToken: roles }] : [])
      }
    })

    const requests = operationNames.flatMap((name) => callers.map((caller) => [name, caller] as const))
    it.each(requests)('%s answers as the access table says to the caller: %s', async (name, caller) => {
      const { ada, grace, boss } = people
      const accounts: Partial<Record<Caller, Account>> = {
        owner: ada,
        'another customer': grace,
        admin: boss,
      }
      const account = accounts[caller]
      const credential =
        caller === 'service credential' ? await credentialFor(name.split(' ')[1] ?? '') : undefined
      const token = account?.token ?? credential
      const valid = await make(name, account)
      const expected = access[name][caller]
      if (typeof expected === 'number') return expectOutcome(await ask(name, valid, { token }), expected)
      const before = await storedHashes(shop)
      expectOutcome(await ask(name, valid, { token }), expected)
      expect(await storedHashes(shop)).toEqual(before)
    })

    it('only an admin may ship and deliver an order', async () => {
      const { ada, grace, boss } = people
      const { path } = await make('PUT /orders/{id}')
      const steps = [
        [grace, 'order_not_found'],
        [ada, 'forbidden'],
        [boss, 200],
      ] as const
      for (const status of ['shipped', 'delivered']) {
        for (const [{ token, username }, outcome] of steps) {
          expectOutcome(
            await shop.put(path, { token, body: { status } }),
            outcome,
            `${status} by ${username}`,
          )
        }
      }
    })

    describe('the resources of another customer', () => {
      const idBearing = () =>
        operations.filter(({ path, security }) => path.includes('{') && security.length > 0)
      const unknownId = '0123456789abcdef01234567'

      /** Returns an answer as text, without the parts that differ between any two requests. */
      const comparable = ({ status, headers, body }: Answer, id: string) => {
        const { 'x-request-id': requestId, date: _date, ...rest } = Object.fromEntries(headers)
        return JSON.stringify({ status, rest, body })
          .replaceAll(id, unknownId)
          .replaceAll(String(requestId), '')
      }

      it('requests for the resource of another customer are answered as if it did not exist', async () => {
        const { grace } = people
        expect(idBearing().length).toBeGreaterThanOrEqual(6)
        for (const { name } of idBearing()) {
          const valid = await make(name as OperationName)
          const id = /[0-9a-f]{24}/.exec(valid.path)?.[0] ?? ''
          const unknown = { ...valid, path: valid.path.replace(id, unknownId) }
          const before = await storedHashes(shop)
          for (const headers of [{}, { 'If-Match': '*' }, { 'If-Match': '"0"' }, { 'If-None-Match': '*' }]) {
            const options = { token: grace.token, headers: headers as Record<string, string> }
            const ofAnother = await ask(name, valid, options)
            const ofUnknown = await ask(name, unknown, options)
            const label = `${name} ${JSON.stringify(headers)}`
            expect(comparable(ofAnother, id), label).toBe(comparable(ofUnknown, unknownId))
            expectOutcome(ofAnother, access[name as OperationName]['another customer'], label)
          }
          expect(await storedHashes(shop), name).toEqual(before)
        }
      })

      it('an order is listed only to its owner and to admins', async () => {
        const { ada, grace, boss } = people
        const { path } = await make('GET /orders/{id}')
        const orderId = path.split('/').at(-1)
        const listed = async ({ token }: Account, query = '') =>
          (await shop.get(`/orders?limit=100${query}`, { token })).body.data.map(
            (order: { orderId: string }) => order.orderId,
          )
        expect(await listed(ada)).toContain(orderId)
        expect(await listed(boss, `&userId=${ada.userId}`)).toContain(orderId)
        expect(await listed(boss, `&userId=${grace.userId}`)).not.toContain(orderId)
        expect(await listed(grace)).not.toContain(orderId)
        expectOutcome(await shop.get(`/orders?userId=${ada.userId}`, { token: grace.token }), 'forbidden')
        expectOutcome(await shop.get(`/orders?userId=${unknownId}`, { token: grace.token }), 'forbidden')
      })

      it('a cursor of another customer does not list the orders of that customer', async () => {
        const { ada, grace } = people
        await make('GET /orders/{id}')
        await make('GET /orders/{id}')
        const { nextCursor } = (await shop.get('/orders?limit=1', { token: ada.token })).body
        const answer = await shop.get(`/orders?cursor=${nextCursor}`, { token: grace.token })
        expect(answer).toMatchObject({ status: 200 })
        for (const { userId } of answer.body.data) expect(userId).toBe(grace.userId)
      })

      it('two customers can use the same idempotency key for different orders', async () => {
        const { ada, grace } = people
        const { body } = await make('POST /orders')
        const headers = { 'Idempotency-Key': 'same-for-both' }
        const place = ({ token }: Account) => shop.post('/orders', { token, headers, body })
        const [first, second] = [await place(ada), await place(grace)]
        expect([first.status, second.status]).toEqual([201, 201])
        expect(second.body.userId).toBe(grace.userId)
        expect(second.body.orderId).not.toBe(first.body.orderId)
      })
    })

    describe('credentials outside the Authorization header', () => {
      it('a token in a query, a body, a cookie or another header gives no access', async () => {
        const { boss } = people
        const secured = operations.filter(({ security }) => security.length > 0)
        expect(secured.length).toBeGreaterThanOrEqual(10)
        for (const { name } of secured) {
          const valid = await make(name as OperationName, boss)
          const token = encodeURIComponent(boss.token)
          const before = await storedHashes(shop)
          const attempts: [string, ValidRequest, Record<string, string>][] = [
            ['query', { ...valid, path: `${valid.path}?access_token=${token}&token=${token}` }, {}],
            [
              'cookie',
              valid,
              {
                Cookie: `access_token=${boss.token}; token=${boss.token}; Authorization=Bearer ${boss.token}`,
              },
            ],
            [
              'own header',
              valid,
              { 'X-Access-Token': boss.token, 'Proxy-Authorization': `Bearer ${boss.token}` },
            ],
            [
              'basic',
              valid,
              { Authorization: `Basic ${Buffer.from(`boss:${boss.password}`).toString('base64')}` },
            ],
          ]
          if (valid.body) {
            const body = { ...valid.body, access_token: boss.token, accessToken: boss.token }
            attempts.push(['body', { ...valid, body }, {}])
          }
          for (const [where, sent, headers] of attempts) {
            expectOutcome(await ask(name, sent, { headers }), 'unauthenticated', `${name}, ${where}`)
          }
          expect(await storedHashes(shop), name).toEqual(before)
        }
      })

      it('headers and cookies that name a user or a role have no effect', async () => {
        const { ada, grace, boss } = people
        const claims = {
          'X-User-Id': boss.userId,
          'X-Role': 'admin',
          'X-Forwarded-User': boss.userId,
          Cookie: `access_token=${boss.token}; role=admin; userId=${boss.userId}`,
        }
        const options = { token: grace.token, headers: claims }
        expect((await shop.get('/profile', options)).body).toMatchObject({
          userId: grace.userId,
          role: 'customer',
        })
        const order = await make('POST /orders')
        expect((await ask('POST /orders', order, options)).body.userId).toBe(grace.userId)
        expectOutcome(
          await ask('GET /orders/{id}', await make('GET /orders/{id}', ada), options),
          'order_not_found',
        )
        for (const [name, outcomes] of Object.entries(access)) {
          if (outcomes['another customer'] !== 'forbidden') continue
          expectOutcome(await ask(name, await make(name as OperationName), options), 'forbidden', name)
        }
      })
    })

    describe('/internal', () => {
      let paths: string[]
      beforeAll(async () => {
        const { composition, close } = await startComposition({
          environment: { INTERNAL_SECRET: internalSecret },
        })
        const routes = composition.app.routes.filter(
          ({ method, path }) => method !== 'ALL' && path.startsWith('/internal/'),
        )
        paths = [...new Set(routes.map(({ path }) => path))]
        await close()
      })

      const callers = (module: string): [string, () => string | undefined | Promise<string>][] => [
        ['anonymous', () => undefined],
        ['customer', () => people.ada.token],
        ['admin', () => people.boss.token],
        ["another module's", () => credentials(module === 'order' ? 'auth' : 'order')],
        ['of another secret', () => createCredentialIssuer(`not ${internalSecret}`)(module)],
        ['the secret itself', () => internalSecret],
      ]

      it(`/internal ${shape === 'split' ? 'answers 404 to every client' : 'accepts only service credentials'}`, async () => {
        expect(paths.length).toBeGreaterThanOrEqual(2)
        for (const path of paths) {
          const module = path.split('/')[2] ?? ''
          const refusal = shape === 'split' ? 'route_not_found' : 'invalid_token'
          const before = await storedHashes(shop)
          for (const [caller, issue] of callers(module)) {
            const token = await issue()
            const expected =
              refusal === 'invalid_token' && /anonymous|itself/.test(caller) ? 'unauthenticated' : refusal
            expectOutcome(
              await shop.post(path, { token, body: { calls: [] } }),
              expected,
              `${path}, ${caller}`,
            )
          }
          // A caller with access gets an error about the empty list of calls.
          const opened = await shop.post(path, { token: await credentials(module), body: { calls: [] } })
          expectOutcome(opened, shape === 'split' ? 'route_not_found' : 'validation_failed', path)
          expect(await storedHashes(shop), path).toEqual(before)
        }
      })

      /** Sends a path as it is, without normalizing it. */
      const bodyOfPost = (path: string, token: string): Promise<string> =>
        new Promise((resolve, reject) => {
          const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
          const post = request(shop.url, { method: 'POST', path, headers }, (response) => {
            resolve(text(response))
          })
          post.once('error', reject)
          post.end('{"calls":[]}')
        })

      it('/internal cannot be reached by other spellings of its path', async () => {
        const plain = '/internal/product/reserve'
        const spellings = [
          plain,
          `/${plain}`,
          `/.${plain}`,
          `${plain}/`,
          `${plain}?x=1`,
          `/products/..${plain}`,
          `/products/%2e%2e${plain}`,
          `/products/..%2f${plain.slice(1)}`,
          `/products/..${plain.replaceAll('/', '\\')}`,
          plain.replaceAll('/', '\\'),
          plain.replace('i', '%69'),
          plain.replace('internal/', 'internal%2f'),
          `/%2f${plain.slice(1)}`,
          plain.replace('internal', 'internal;'),
          plain.replace('internal', 'INTERNAL'),
          `/products#/..${plain}`,
          `${shop.url}${plain}`,
          `${shop.url}/products/..${plain}`,
        ]
        const reached: string[] = []
        // A request that reaches the port gets an error about `calls`.
        for (const path of spellings) {
          const body = await bodyOfPost(path, await credentials('product'))
          if (body.includes('/calls')) reached.push(path)
        }
        if (shape === 'split') expect(reached).toEqual([])
        else expect(reached).toContain(plain)
      })
    })
  })
}
