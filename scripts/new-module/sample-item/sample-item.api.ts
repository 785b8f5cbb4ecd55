import { createRoute, z } from '@hono/zod-openapi'
import { bearer, body, etagHeader, json, locationHeader, signedIn, withBody } from '#kernel/http/openapi.ts'
import { id } from '#kernel/schemas.ts'
import { errors } from './problems.ts'
import { sampleItem, sampleItemDraft } from './sample-item.schemas.ts'

const tags = ['Sample items']
// The parameter has no example, because the demo has no sample item. A client takes the id from the answer that created it.
const params = z.object({
  id: id.openapi({ param: { name: 'id', in: 'path' }, description: 'The `sampleItemId`.' }),
})
const example = {
  sampleItemId: '66f2a1b0c3d4e5f607182b01',
  userId: '66f2a1b0c3d4e5f607182900',
  name: 'My first sample item',
  createdAt: '2026-11-23T10:15:00.000Z',
}

export const sampleItemApi = {
  createSampleItem: createRoute({
    method: 'post',
    path: '/sample-items',
    tags,
    summary: 'Create a sample item',
    description: 'The sample item belongs to the user of the access token.',
    security: bearer,
    request: { body: body(sampleItemDraft, { name: example.name }) },
    responses: {
      201: {
        description: 'The new sample item.',
        headers: locationHeader,
        content: json(sampleItem, example),
      },
      ...errors(...withBody, ...signedIn),
    },
  }),
  getSampleItem: createRoute({
    method: 'get',
    path: '/sample-items/{id}',
    tags,
    summary: 'Read a sample item',
    description: 'Customers may read their own sample items, and admins may read all of them.',
    security: bearer,
    request: { params },
    responses: {
      200: { description: 'The sample item.', headers: etagHeader, content: json(sampleItem, example) },
      ...errors('validation_failed', ...signedIn, 'sample_item_not_found'),
    },
  }),
}
