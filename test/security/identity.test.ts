import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type SecurityEvent, securityEvents } from '#src/modules/auth/security-events.ts'
import type { Account, Json, RequestOptions } from '#test/support/client.ts'
import { type Deployment, deploy, type Shape, shapes } from '#test/support/processes.ts'

// Accounts and sessions of real processes in both shapes, and their events in the audit trail.
describe.each(Object.keys(shapes) as Shape[])('identity, %s', (shape) => {
  let shop: Deployment
  beforeAll(async () => {
    shop = await deploy(shape, {
      REQUEST_TIMEOUT: '20s',
      TRUSTED_PROXIES: '127.0.0.1',
      LOGIN_FAILURES_PER_ACCOUNT: '4/1h',
      LOGIN_FAILURES_PER_ADDRESS: '6/1h',
      REGISTRATIONS_PER_ADDRESS: '5/1h',
    })
  })
  afterAll(async () => {
    expect(await shop.stop()).toBe(0)
  })

  /** Sends a request from an address through a trusted proxy. */
  const send = async (method: string, path: string, from: string, options: RequestOptions = {}) => {
    const headers = { 'X-Forwarded-For': `192.0.2.99, ${from}`, ...options.headers }
    return shop.request(method, path, { ...options, headers })
  }

  let addresses = 0
  const newAddress = () => {
    addresses += 1
    return `198.18.1.${addresses}`
  }
  const newPassword = () => `pass phrase ${randomUUID()}`

  async function customer(address = newAddress()): Promise<Account & { address: string }> {
    const username = `u-${randomUUID().slice(0, 8)}`
    const account = { username, email: `${username}@example.com`, password: newPassword() }
    const { body } = await send('POST', '/register', address, { body: account })
    const tokens = await signIn(account, address)
    return {
      ...account,
      userId: body.userId,
      token: tokens.accessToken,
      refreshToken: tokens.refreshToken,
      address,
    }
  }
  const attempt = (body: object, from: string) => send('POST', '/login', from, { body })
  async function signIn(
    { email, password }: { email: string; password: string },
    from: string,
  ): Promise<Json> {
    const answer = await attempt({ email, password }, from)
    expect(answer.status, JSON.stringify(answer.body)).toBe(200)
    return answer.body
  }
  const refresh = (refreshToken: string, from = newAddress()) =>
    send('POST', '/token/refresh', from, { body: { refreshToken } })

  const lines = (): Json[] =>
    shop
      .output()
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
  /** Waits for the log line of an event that a request has caused. The line comes a moment after the answer. */
  const eventOf = (headers: Headers, event: SecurityEvent): Promise<Json> =>
    vi.waitFor(
      () => {
        const requestId = headers.get('x-request-id')
        const line = lines().find((each) => each.event === `auth.${event}` && each.requestId === requestId)
        expect(line, event).toBeDefined()
        return line
      },
      { timeout: 10_000 },
    )
  const seenEvents = new Set<SecurityEvent>()
  async function expectEvent(headers: Headers, event: SecurityEvent, fields: object) {
    const { time: _time, service, module, requestId, ...line } = await eventOf(headers, event)
    const { level, message } = securityEvents[event]
    expect(line).toEqual({
      level: level === 'warn' ? 40 : 30,
      event: `auth.${event}`,
      msg: message,
      ...fields,
    })
    expect({ service, module, requestId }).toEqual({
      service: shape === 'split' ? 'auth' : 'all',
      module: 'auth',
      requestId: headers.get('x-request-id'),
    })
    seenEvents.add(event)
  }

  it('sign-up, sign-in and sign-out are in the audit trail, and a refresh renews the session', async () => {
    const address = newAddress()
    const account = { username: `u-${randomUUID().slice(0, 8)}`, password: newPassword() }
    const email = `${account.username}@example.com`
    const registered = await send('POST', '/register', address, { body: { ...account, email } })
    const { userId } = registered.body
    await expectEvent(registered.headers, 'registered', { userId, address })

    const opened = await attempt({ email, password: account.password }, address)
    await expectEvent(opened.headers, 'signed_in', { userId, address })
    const second = await refresh(opened.body.refreshToken)
    expect(second.status).toBe(200)
    const again = await refresh(opened.body.refreshToken)
    expect(again.body.refreshToken).toBe(second.body.refreshToken)
    const profile = await send('GET', '/profile', address, { token: second.body.accessToken })
    expect(profile.body.userId).toBe(userId)

    const closed = await send('POST', '/logout', address, {
      body: { refreshToken: second.body.refreshToken },
    })
    expect(closed.status).toBe(204)
    await expectEvent(closed.headers, 'signed_out', { userId, address })
    expect(await refresh(second.body.refreshToken)).toMatchObject({
      status: 401,
      body: { code: 'invalid_token' },
    })
  })

  it('a reused refresh token ends its session', async () => {
    const { refreshToken, userId } = await customer()
    const second = await refresh(refreshToken)
    const families = (await shop.collections('auth')).collection('refreshFamilies')
    await families.updateMany({}, { $set: { 'spent.$[].at': new Date(Date.now() - 11_000) } })
    const address = newAddress()
    const thief = await refresh(refreshToken, address)
    expect(thief).toMatchObject({ status: 401, body: { code: 'invalid_token' } })
    await expectEvent(thief.headers, 'refresh_reused', { userId, address })
    expect((await refresh(second.body.refreshToken)).status).toBe(401)
  })

  it('concurrent requests that end one session cause one event in the audit trail', async () => {
    const families = (await shop.collections('auth')).collection('refreshFamilies')
    const spendLongAgo = async (refreshToken: string) => {
      expect((await refresh(refreshToken)).status).toBe(200)
      await families.updateMany({}, { $set: { 'spent.$[].at': new Date(Date.now() - 11_000) } })
    }
    const close = (refreshToken: string) => send('POST', '/logout', newAddress(), { body: { refreshToken } })
    for (const [event, end, before] of [
      ['signed_out', close, async () => {}],
      ['refresh_reused', refresh, spendLongAgo],
    ] as const) {
      const { refreshToken, userId } = await customer()
      await before(refreshToken)
      const answers = await Promise.all(Array.from({ length: 10 }, () => end(refreshToken)))
      const service = shape === 'split' ? 'auth' : 'all'
      for (const { headers } of answers) {
        const requestId = headers.get('x-request-id')
        // The line of a request comes after the lines of its events.
        const isLine = (line: Json) =>
          line.service === service && line.requestId === requestId && line.msg === 'request'
        await vi.waitFor(() => expect(lines().some(isLine)).toBe(true), { timeout: 10_000 })
      }
      const events = lines().filter((line) => line.event === `auth.${event}` && line.userId === userId)
      expect(events).toHaveLength(1)
    }
  })

  it('a password change ends every session, and the old password is refused', async () => {
    const { token, password, email, refreshToken, userId, address } = await customer()
    const change = (currentPassword: string, next: string) =>
      send('PUT', '/profile/password', address, { token, body: { currentPassword, newPassword: next } })
    const next = newPassword()
    const wrong = await change(newPassword(), next)
    expect(wrong).toMatchObject({ status: 422, body: { code: 'wrong_password' } })
    await expectEvent(wrong.headers, 'sign_in_failed', { userId, address, action: 'password_change' })
    const changed = await change(password, next)
    expect(changed.status).toBe(204)
    await expectEvent(changed.headers, 'password_changed', { userId, address })
    expect((await refresh(refreshToken)).status).toBe(401)
    expect((await attempt({ email, password }, address)).status).toBe(401)
    await signIn({ email, password: next }, address)
  })

  it('wrong passwords from unknown addresses are throttled, and the owner can still sign in', async () => {
    const ada = await customer()
    const wrong = (from: string) => attempt({ email: ada.email, password: newPassword() }, from)
    const address = newAddress()
    const first = await wrong(address)
    expect(first.status).toBe(401)
    await expectEvent(first.headers, 'sign_in_failed', { userId: ada.userId, address, action: 'login' })
    for (let attempts = 2; attempts <= 4; attempts++) expect((await wrong(newAddress())).status).toBe(401)
    const refused = await wrong(address)
    expect(refused).toMatchObject({ status: 429, body: { code: 'rate_limited' } })
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(3_000)
    await expectEvent(refused.headers, 'throttled', { userId: ada.userId, address, action: 'login' })
    await signIn(ada, ada.address)
  })

  it('a failed sign-in to an unknown account logs neither name nor password', async () => {
    const address = newAddress()
    const slip = newPassword()
    const failed = await attempt({ username: slip, password: newPassword() }, address)
    expect(failed.status).toBe(401)
    await expectEvent(failed.headers, 'sign_in_failed', { address, action: 'login' })
  })

  it('an address is throttled by the entry that the trusted proxy added to X-Forwarded-For', async () => {
    const address = newAddress()
    const wrongSignIn = () =>
      attempt({ email: `${randomUUID()}@example.com`, password: newPassword() }, address)
    for (let attempts = 1; attempts <= 6; attempts++) expect((await wrongSignIn()).status).toBe(401)
    expect((await wrongSignIn()).status).toBe(429)
    const registration = () => {
      const username = `u-${randomUUID().slice(0, 8)}`
      const body = { username, email: `${username}@example.com`, password: newPassword() }
      return send('POST', '/register', address, { body })
    }
    for (let registrations = 1; registrations <= 5; registrations++)
      expect((await registration()).status).toBe(201)
    const refused = await registration()
    expect(refused.status).toBe(429)
    await expectEvent(refused.headers, 'throttled', { address, action: 'registration' })
  })

  it('these tests cause every security event except those of operators', () => {
    const operators: SecurityEvent[] = ['role_changed']
    expect([...seenEvents, ...operators].toSorted()).toEqual(Object.keys(securityEvents).toSorted())
  })
})

describe.each(Object.keys(shapes) as Shape[])('without trusted proxies, %s', (shape) => {
  it('without trusted proxies, X-Forwarded-For does not avoid throttling', async () => {
    const shop = await deploy(shape, { REQUEST_TIMEOUT: '20s', LOGIN_FAILURES_PER_ADDRESS: '3/1h' })
    const statuses = []
    for (let n = 1; n <= 5; n++) {
      const headers = { 'X-Forwarded-For': `198.18.2.${n}` }
      const body = { email: `${randomUUID()}@example.com`, password: 'not the one' }
      statuses.push((await shop.post('/login', { headers, body })).status)
    }
    expect(statuses).toEqual([401, 401, 401, 429, 429])
    expect(await shop.stop()).toBe(0)
  })
})
