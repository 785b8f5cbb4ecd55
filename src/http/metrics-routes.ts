import { respond } from '#kernel/http/respond.ts'
import { createRouter } from '#kernel/http/router.ts'
import type { Metrics } from '#kernel/metrics.ts'

/**
 * Serves the metrics of this process to Prometheus. The path is not part of the API: the ingress has no rule for it, and the
 * OpenAPI document does not describe it.
 */
export function metricsRoutes(metrics: Metrics) {
  const router = createRouter()
  router.get('/metrics', async (c) => {
    c.set('probe', true)
    const { text, contentType } = await metrics.scrape()
    return respond(c, text, 200, { 'content-type': contentType })
  })
  return router
}
