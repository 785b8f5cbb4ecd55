import { decode, verify } from 'hono/jwt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call, type PortShop, startPortShop } from '#test/support/port-shop.ts'
import type { AuthPort } from './contract.ts'

/** The tests that every implementation of the auth port passes. */
export function authPortSuite(name: string, implementation: (shop: PortShop) => Promise<AuthPort>) {
  describe(`the auth port, ${name}`, () => {
    let host: PortShop
    let port: AuthPort
    beforeAll(async () => {
      host = await startPortShop()
      port = await implementation(host)
    })
    afterAll(() => host.close())

    it('publicKeys returns the keys that verify access tokens', async () => {
      const { token, userId } = await host.shop.customer()
      const keys = await port.publicKeys({}, call())
      const key = keys.find(({ kid }) => kid === decode(token).header.kid)
      if (!key) throw new Error('publicKeys has no key for the token')
      expect(await verify(token, key, { alg: 'EdDSA' })).toMatchObject({ sub: userId, role: 'customer' })
    })

    it('publicKeys returns no part of a private key', async () => {
      const keys = await port.publicKeys({}, call())
      expect(keys.length).toBeGreaterThan(0)
      for (const key of keys)
        expect(Object.keys(key).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x'])
    })
  })
}
