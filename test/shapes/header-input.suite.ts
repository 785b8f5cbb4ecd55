import { beforeAll, expect, it } from 'vitest'
import type { Deployment } from '#test/support/processes.ts'
import { sendRaw } from '#test/support/raw-http.ts'
import { type DescribedApi, describeApi, expectRefused } from './described-api.ts'

/** Headers that do not match the API description are refused and have no effect. */
export function headerInputSuite(deployment: () => Deployment) {
  let api: DescribedApi
  beforeAll(async () => {
    api = await describeApi(deployment())
  })

  it('a write is refused if a precondition is not a list of quoted entity tags', async () => {
    const conditional = api.operations.filter(({ parameters = [] }) =>
      parameters.some(({ name }) => name === 'If-Match'),
    )
    expect(conditional.length).toBeGreaterThanOrEqual(4)
    for (const operation of conditional) {
      const valid = await api.make(operation)
      for (const name of ['If-Match', 'If-None-Match']) {
        for (const value of ['2', '"2', "'2'", 'W/2', 'w/"2"', '*, "2"', '"2" "3"', '', ',', 'caf\u00e9']) {
          const answer = await api.ask(operation, valid, { [name]: value })
          const label = `${operation.name} ${name}: ${value}`
          expectRefused(answer, new RegExp(`^${name}$`), label)
          expect(answer.body.errors[0].message, label).toContain('quoted entity tags, such as "3"')
        }
      }
    }
  })

  it('a write answers 412 and changes nothing if a precondition fails', async () => {
    const conditional = api.operations.filter(({ parameters = [] }) =>
      parameters.some(({ name }) => name === 'If-Match'),
    )
    for (const operation of conditional) {
      const valid = await api.make(operation)
      const { body } = await api.shop.get(valid.path, { token: api.people.boss.token })
      const current = `"${body.version}"`
      await api.expectNoChange(operation.name, async () => {
        const failing: Record<string, string>[] = [
          { 'If-None-Match': '*' },
          { 'If-None-Match': current },
          { 'If-None-Match': `W/${current}` },
          { 'If-None-Match': `, "99",,${current} ,` },
          { 'If-Match': '"99"' },
          { 'If-Match': `W/${current}` },
          { 'If-Match': '"99", , "caf\u00e9"' },
          { 'If-Match': current, 'If-None-Match': '*' },
          { 'If-Match': '"99"', 'If-None-Match': '"98"' },
        ]
        for (const headers of failing) {
          const answer = await api.ask(operation, valid, headers)
          const label = `${operation.name} ${JSON.stringify(headers)}`
          expect(answer, label).toMatchObject({ status: 412, body: { code: 'precondition_failed' } })
        }
        const { body: refusal } = await api.ask(operation, valid, { 'If-Match': `W/${current}` })
        expect(refusal.detail, operation.name).toBe(
          `If-Match: the current entity tag is ${current}; a weak entity tag never matches, so send it without W/, or send \`version\` in the body of the update`,
        )
      })
      const holding = { 'If-Match': `, ,"99" ,${current},`, 'If-None-Match': '"98",, W/"99"' }
      const answer = await api.ask(operation, valid, holding)
      expect(answer.status, `${operation.name} ${JSON.stringify(answer.body)}`).toBeLessThan(300)
    }
  })

  it('several lines of a precondition header count as one list', async () => {
    const product = await api.shop.product(api.people.boss.token)
    const remove = (...lines: string[]) =>
      sendRaw(
        api.shop.url,
        [
          `DELETE /products/${product.productId} HTTP/1.1`,
          'Host: shop.example',
          'Connection: close',
          `Authorization: Bearer ${api.people.boss.token}`,
          ...lines,
          '\r\n',
        ].join('\r\n'),
      )
    expect((await remove('If-Match: "7"', 'If-Match: "8"')).status).toBe(412)
    expect((await remove('If-Match: *', 'If-Match: "1"')).status).toBe(400)
    expect((await remove('If-None-Match: "7"', 'If-None-Match: "1"')).status).toBe(412)
    expect((await remove('If-Match: "7"', 'If-Match: "1"')).status).toBe(204)
  })

  it('an idempotency key is refused unless it is visible ASCII of at most 255 characters', async () => {
    const keyed = api.operations.filter(({ parameters = [] }) =>
      parameters.some(({ name }) => name === 'Idempotency-Key'),
    )
    expect(keyed.length).toBeGreaterThanOrEqual(2)
    for (const operation of keyed) {
      const valid = await api.make(operation)
      await api.expectNoChange(operation.name, async () => {
        for (const key of ['caf\u00e9', '\u00ff', 'a b', 'a, b', 'k'.repeat(256)]) {
          const answer = await api.ask(operation, valid, { 'Idempotency-Key': key })
          expectRefused(answer, /^Idempotency-Key$/, `${operation.name} ${key}`)
        }
      })
    }
    expect(
      await api.shop.get('/profile', { headers: { Authorization: 'Bearer \u00ff\u00fe' } }),
    ).toMatchObject({
      status: 401,
      body: { code: 'invalid_token' },
    })
    const { headers } = await api.shop.get('/healthz', { headers: { 'X-Request-Id': 'caf\u00e9' } })
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('a query operator in a header has no effect', async () => {
    const described = api.operations.flatMap((operation) =>
      (operation.parameters ?? [])
        .filter((each) => each.in === 'header')
        .map(({ name }) => ({ operation, name })),
    )
    expect(described.length).toBeGreaterThanOrEqual(12)
    const usedKeys = new Set<string>()
    for (const { operation, name } of described) {
      const valid = await api.make(operation)
      for (const operator of ['{"$gt":""}', '{"$ne":null}', '__proto__', 'constructor']) {
        const label = `${operation.name} ${name}: ${operator}`
        const { status, headers, body } = await api.ask(operation, valid, { [name]: operator })
        // A malformed precondition refuses a write; a read ignores it.
        const isWrite = operation.method !== 'GET'
        const isRefused = isWrite && /^If-(None-)?Match$/.test(name)
        const refused = { status: 400, code: 'validation_failed' }
        // The operations of a module share the keys of a user, and the body is another one.
        const key = `${operation.tags} ${operator}`
        const isReused = name === 'Idempotency-Key' && usedKeys.has(key)
        if (name === 'Idempotency-Key') usedKeys.add(key)
        const reused = { status: 422, code: 'idempotency_key_reused' }
        if (isRefused) expect({ status, code: body.code }, label).toEqual(refused)
        else if (isReused) expect({ status, code: body.code }, label).toEqual(reused)
        else expect([200, 201], label).toContain(status)
        expect(headers.get('idempotent-replayed'), label).toBeNull()
      }
    }
  })
}
