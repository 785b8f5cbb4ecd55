import { failureResponse } from '#kernel/http/problem-documents.ts'
import { requestContext } from '#kernel/http/request-context.ts'
import { createRouter } from '#kernel/http/router.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import { healthRoutes, type Readiness } from './health-routes.ts'
import { metricsRoutes } from './metrics-routes.ts'
import { createRouteRefusal } from './route-refusal.ts'
import { securityHeaders } from './security-headers.ts'

/** Creates the application of the management port: the probes and the metrics, and nothing else. */
export function createManagementApplication(options: {
  requestTimeoutMs: number
  readiness: Readiness
  logger: Logger
  metrics: Metrics
}) {
  const { requestTimeoutMs, readiness, logger, metrics } = options
  const app = createRouter()
  app.use(requestContext({ timeoutMs: requestTimeoutMs, headers: securityHeaders, logger, metrics }))
  app.route('/', healthRoutes(readiness))
  app.route('/', metricsRoutes(metrics))
  app.notFound(
    createRouteRefusal(app, new Map(), 'the routes of this port are /healthz, /readyz and /metrics'),
  )
  app.onError((error, c) => failureResponse(c, error))
  return app
}
