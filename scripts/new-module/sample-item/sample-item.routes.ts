import type { Guard } from '#kernel/http/auth-guard.ts'
import { respondWith } from '#kernel/http/caching.ts'
import { jsonOf } from '#kernel/http/representation.ts'
import { respondJson } from '#kernel/http/respond.ts'
import { createRouter } from '#kernel/http/router.ts'
import { sampleItemApi } from './sample-item.api.ts'
import type { SampleItemService } from './sample-item.service.ts'
import { sampleItemResponse } from './sample-item.ts'

export function sampleItemRoutes(service: SampleItemService, guard: Guard) {
  const router = createRouter()
  const middleware = guard('customer')

  router.openapi({ ...sampleItemApi.createSampleItem, middleware }, async (c) => {
    const created = await service.create(c.req.valid('json'), c.get('principal'), c.get('call'))
    const location = `/sample-items/${created.sampleItemId}`
    return respondJson(c, sampleItemResponse(created), 201, { location })
  })

  router.openapi({ ...sampleItemApi.getSampleItem, middleware }, async (c) => {
    const found = await service.find(c.req.valid('param').id, c.get('principal'), c.get('call'))
    return respondWith(c, jsonOf(sampleItemResponse(found)))
  })

  return router
}
