import { decode } from 'hono/jwt'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { generatePrivateKey, type PrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { createClient } from '#test/support/client.ts'
import { deploy } from '#test/support/processes.ts'
import {
  forwardTo,
  issuedWith,
  startAuthServer,
  startService,
  startServices,
} from '#test/support/remote-auth.ts'
import { admin, databaseName } from '#test/support/shop.ts'

// Replicas of auth behind one address are replaced one by one with replicas that have other keys, while product and order
// verify their tokens.
let closing: (() => Promise<void>)[]
beforeEach(() => {
  closing = []
})
afterEach(async () => {
  vi.useRealTimers()
  for (const close of closing.reverse()) await close()
})

const forged = () => issuedWith(generatePrivateKey())
const later = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000)

async function startFleet(replicas: number, keys: PrivateKey[]) {
  const database = databaseName()
  const start = async (keys: PrivateKey[]) => {
    const environment = { MONGODB_DATABASE: database, JWT_PRIVATE_KEYS: JSON.stringify(keys) }
    const service = await startService('auth', environment)
    const inFlight = new Set<Promise<Response>>()
    return {
      async fetch(request: Request) {
        const answer = Promise.resolve(service.fetch(request))
        inFlight.add(answer)
        return answer.finally(() => inFlight.delete(answer))
      },
      async close() {
        await Promise.allSettled(inFlight)
        await service.close()
      },
    }
  }
  const running = await Promise.all(Array.from({ length: replicas }, () => start(keys)))
  let count = 0
  const authServer = await startAuthServer(
    forwardTo((request) => {
      count += 1
      const replica = running[count % replicas]
      if (!replica) throw new Error('there is no replica')
      return replica.fetch(request)
    }),
  )
  const services = await startServices(authServer.url)
  closing.push(async () => {
    for (const { close } of services) await close()
    await authServer.close()
    for (const { close } of running) await close()
  })
  return {
    services,
    client: createClient((path, init) => fetch(`${authServer.url}${path}`, init)),
    /** Replaces a replica as an orchestrator does: the new one is ready before the old one ends. */
    async replace(at: number, keys: PrivateKey[]) {
      const [before] = running.splice(at, 1, await start(keys))
      await before?.close()
    },
  }
}

it('no token is refused in 10,000 requests while a key is added, promoted, and the old key removed', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const [old, next] = [generatePrivateKey(), generatePrivateKey()]
  const replicas = 2
  const { services, client, replace } = await startFleet(replicas, [old])
  const attacked = services[1]
  let tokens: { token: string; until: number }[] = []
  const signers = new Set<unknown>()
  const surprises: string[] = []
  let requests = 0

  const expectation = async (what: string, expected: string, got: Promise<string>) => {
    const answer = await got
    if (answer !== expected) surprises.push(`${what}: ${answer}`)
  }
  const present = async (token: string) => {
    for (const service of services) {
      requests += 1
      await expectation(service.module, 'accepted', service.present(token))
    }
  }
  const showAuth = async (token: string) => {
    requests += 1
    const profile = client.get('/profile', { token })
    await expectation(
      'auth',
      '200',
      profile.then(({ status }) => String(status)),
    )
  }
  const signIn = async () => {
    const token = await client.login(admin.email, admin.password)
    signers.add(decode(token).header.kid)
    // A token is accepted until its end, plus the tolerance for clock differences.
    tokens.push({ token, until: Date.now() + 925_000 })
    await present(token)
    await showAuth(token)
  }
  const load = async (shows: number) => {
    tokens = tokens.filter(({ until }) => until > Date.now())
    let left = shows
    const client = async (n: number) => {
      while (left > 0) {
        left -= 1
        if (left % 200 === n) await signIn()
        const token = tokens[left % tokens.length]?.token ?? ''
        await present(token)
        if (left % 20 === 0) await showAuth(token)
        // At one service, forged tokens use up the fetches for unknown kids.
        if (left % 10 === 0) {
          await expectation('a stranger', '401 invalid_token', attacked.present(await forged()))
        }
      }
    }
    await signIn()
    await Promise.all(Array.from({ length: 8 }, (_, n) => client(n)))
  }
  const wait = async (seconds: number) => {
    for (let waited = 0; waited < seconds; waited += 55) {
      later(Math.min(55, seconds - waited))
      await load(60)
    }
  }
  const roll = async (keys: PrivateKey[]) => {
    for (let at = 0; at < replicas; at++) {
      await Promise.all([replace(at, keys), load(380)])
      await load(100)
    }
  }

  await load(100)
  await roll([old, next])
  await wait(330)
  expect(signers).toEqual(new Set([old.kid]))
  await roll([next, old])
  await wait(930)
  expect(signers).toEqual(new Set([old.kid, next.kid]))
  await roll([next])
  await wait(330)
  expect(surprises).toEqual([])
  expect(requests).toBeGreaterThanOrEqual(10_000)
  // The rotation is complete: the old key is worthless.
  for (const service of services)
    expect(await service.present(await issuedWith(old))).toBe('401 invalid_token')
}, 240_000)

it('tokens of a key that the services do not know yet are accepted after 30 s at most', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const [old, next] = [generatePrivateKey(), generatePrivateKey()]
  const { services, replace } = await startFleet(1, [old])
  const before = await issuedWith(old)
  for (const { present } of services) {
    expect(await present(before)).toBe('accepted')
    expect(await present(await forged())).toBe('401 invalid_token')
  }
  await replace(0, [next, old])
  const token = await issuedWith(next)
  for (const { present } of services) {
    // The fetch for an unknown kid is used up, and the service cannot tell this kid from a forged one.
    expect(await present(token)).toBe('401 invalid_token')
    expect(await present(before)).toBe('accepted')
  }
  later(30)
  for (const { present } of services) {
    expect(await present(token)).toBe('accepted')
    expect(await present(before)).toBe('accepted')
  }
})

it('a restarted auth signs with its first key and verifies tokens of all its keys', async () => {
  const [old, next] = [generatePrivateKey(), generatePrivateKey()]
  const MONGODB_DATABASE = databaseName()
  const start = async (keys: PrivateKey[]) => {
    const settings = { SERVICE: 'auth', MONGODB_DATABASE, JWT_PRIVATE_KEYS: JSON.stringify(keys) }
    const auth = await deploy('one process', settings)
    closing.push(async () => {
      await auth.stop()
    })
    return auth
  }
  let auth = await start([old])
  const authServer = await startAuthServer(
    forwardTo((request) =>
      fetch(`${auth.url}${new URL(request.url).pathname}`, { headers: request.headers }),
    ),
  )
  const services = await startServices(authServer.url)
  closing.push(async () => {
    for (const { close } of services) await close()
    await authServer.close()
  })
  const before = auth.adminToken
  for (const { present } of services) expect(await present(before)).toBe('accepted')

  auth = await start([next, old])
  expect(decode(auth.adminToken).header.kid).toBe(next.kid)
  for (const token of [before, auth.adminToken]) {
    expect((await auth.get('/profile', { token })).status).toBe(200)
    for (const { present } of services) expect(await present(token)).toBe('accepted')
  }

  auth = await start([next])
  expect((await auth.get('/profile', { token: before })).body.code).toBe('invalid_token')
  expect((await auth.get('/.well-known/jwks.json')).body.keys).toMatchObject([{ kid: next.kid }])
}, 120_000)
