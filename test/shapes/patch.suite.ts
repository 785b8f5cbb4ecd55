import { beforeAll, describe, expect, it } from 'vitest'
import type { RequestOptions } from '#test/support/client.ts'
import { createDocumentValidator } from '#test/support/document-validator.ts'
import type { Deployment } from '#test/support/processes.ts'

const mergePatch = { 'Content-Type': 'application/merge-patch+json' }
const bothTypes = 'application/json, application/merge-patch+json'

/** PATCH (RFC 5789) beside PUT, also with merge patches (RFC 7396). */
export function patchSuite(deployment: () => Deployment) {
  describe('PATCH', () => {
    let shop: Deployment
    let token: string
    beforeAll(() => {
      shop = deployment()
      token = shop.adminToken
    })
    const patch = (path: string, options: RequestOptions) =>
      shop.request('PATCH', path, { token, ...options })
    const newOrder = async () => {
      const { productId } = await shop.product(token)
      return (await shop.order(token, [{ productId, quantity: 1 }])).body
    }

    it.each<[string, Record<string, string>]>([
      ['JSON', {}],
      ['a merge patch', mergePatch],
      ['a merge patch with parameters', { 'Content-Type': 'Application/Merge-Patch+JSON; charset=UTF-8' }],
    ])('PATCH changes a product and an order as PUT does, with %s', async (_, headers) => {
      const { productId, ...cup } = await shop.product(token, { description: 'Stoneware' })
      const path = `/products/${productId}`
      const change = { price: 14.9, version: cup.version }
      const changed = await patch(path, { headers, body: change })
      expect(changed).toMatchObject({ status: 200, body: { productId, name: cup.name, price: 14.9 } })
      expect(changed.body).toMatchObject({ description: 'Stoneware', stock: cup.stock, version: 2 })
      expect(changed.headers.get('etag')).toBe('"2"')
      const stale = await patch(path, { headers, body: { price: 3, version: 1 } })
      expect(stale).toMatchObject({ status: 409, body: { code: 'version_conflict', currentVersion: 2 } })
      const unnamed = await patch(path, { headers, body: { price: 3 } })
      expect(unnamed).toMatchObject({ status: 428, body: { code: 'precondition_required' } })
      const emptied = await patch(path, {
        headers: { ...headers, 'If-Match': '"2"' },
        body: { description: '' },
      })
      expect(emptied).toMatchObject({ status: 200, body: { description: '', version: 3 } })

      const { orderId } = await newOrder()
      const shipped = await patch(`/orders/${orderId}`, { headers, body: { status: 'shipped' } })
      expect(shipped).toMatchObject({ status: 200, body: { orderId, status: 'shipped' } })
      const cancelled = await patch(`/orders/${orderId}`, { headers, body: { status: 'cancelled' } })
      expect(cancelled).toMatchObject({ status: 409, body: { code: 'invalid_transition' } })
    })

    it('PATCH refuses what PUT refuses: a stale entity tag, an unknown product, and shipping by the owner', async () => {
      const { productId } = await shop.product(token)
      const owner = await shop.customer()
      const { orderId } = (await shop.order(owner.token, [{ productId, quantity: 1 }])).body
      const stale = { status: 412, body: { code: 'precondition_failed' } }
      const headers = { 'If-Match': '"9"' }
      expect(await patch(`/products/${productId}`, { headers, body: { price: 3 } })).toMatchObject(stale)
      expect(await patch(`/orders/${orderId}`, { headers, body: { status: 'shipped' } })).toMatchObject(stale)
      const unknown = await patch(`/products/${orderId}`, { body: { price: 3, version: 1 } })
      expect(unknown).toMatchObject({ status: 404, body: { code: 'product_not_found' } })
      const shipped = await patch(`/orders/${orderId}`, { token: owner.token, body: { status: 'shipped' } })
      expect(shipped).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    })

    it('PATCH refuses null, by which a merge patch removes a field, because no field can be removed', async () => {
      const { productId, version } = await shop.product(token)
      for (const [field, wanted] of [
        ['name', 'a string'],
        ['description', 'a string'],
        ['price', 'a number'],
        ['stock', 'an integer'],
      ] as const) {
        const body = { version, [field]: null }
        const answer = await patch(`/products/${productId}`, { headers: mergePatch, body })
        expect(answer).toMatchObject({
          status: 400,
          body: { errors: [{ pointer: `/${field}`, message: `must be ${wanted}, not null` }] },
        })
      }
      const { orderId } = await newOrder()
      const answer = await patch(`/orders/${orderId}`, { headers: mergePatch, body: { status: null } })
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ pointer: '/status' }] } })
    })

    it('an update that names only fields that a client cannot change is invalid by the document, and refused', async () => {
      const { version, productId, currency, createdAt, updatedAt } = await shop.product(token)
      const faultsOf = createDocumentValidator((await shop.get('/openapi.json')).body)
      const path = `/products/${productId}`
      const fixed = { version, productId, currency, createdAt, updatedAt }
      const bodies: object[] = Object.entries(fixed).map(([name, value]) => ({ [name]: value }))
      for (const body of [{}, fixed, ...bodies]) {
        const faults = faultsOf(['components', 'schemas', 'ProductUpdate'], body)
        expect(faults, JSON.stringify(body)).not.toEqual([])
        const answer = await patch(path, { headers: { 'If-Match': '"1"' }, body })
        expect(answer, JSON.stringify(body)).toMatchObject({
          status: 400,
          body: { errors: [{ pointer: '', code: 'rule' }] },
        })
      }
    })

    it('a merge patch is accepted by PATCH only, and a 415 to PATCH names the types in Accept-Patch', async () => {
      const { productId, version } = await shop.product(token)
      const body = { price: 3, version }
      const put = await shop.put(`/products/${productId}`, { token, headers: mergePatch, body })
      expect(put).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } })
      expect(put.headers.get('accept-patch')).toBeNull()
      for (const path of [`/products/${productId}`, `/orders/${(await newOrder()).orderId}`]) {
        for (const headers of [
          { 'Content-Type': 'application/json-patch+json' },
          { 'Content-Type': 'text/plain' },
          { 'Content-Encoding': 'gzip' },
        ] as Record<string, string>[]) {
          const answer = await patch(path, { headers, body })
          expect(answer).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } })
          expect(answer.headers.get('accept-patch')).toBe(bothTypes)
        }
        const options = await shop.request('OPTIONS', path)
        expect(options.headers.get('accept-patch')).toBe(bothTypes)
        expect(options.headers.get('allow')).toBe('GET, HEAD, PUT, PATCH, DELETE, OPTIONS')
      }
      for (const path of ['/products', '/orders', '/login']) {
        expect((await shop.request('OPTIONS', path)).headers.get('accept-patch')).toBeNull()
      }
    })
  })
}
