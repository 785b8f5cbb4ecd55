import type { Config } from '#kernel/config/load-config.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import { bodyLimit, maxBodyBytes } from '#kernel/http/body-limit.ts'
import { refuseMalformedEscapes } from '#kernel/http/parameters.ts'
import { failureResponse } from '#kernel/http/problem-documents.ts'
import type { ProblemTable } from '#kernel/http/problems.ts'
import { requestContext } from '#kernel/http/request-context.ts'
import { createRouter } from '#kernel/http/router.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { AnyModule, StartedModule } from '#kernel/module.ts'
import { credentialGuard } from '#kernel/ports/service-credential.ts'
import type { Tracing } from '#kernel/span.ts'
import { compression } from './compression.ts'
import { crossOrigin } from './cross-origin.ts'
import { documentationRoutes } from './documentation-routes.ts'
import { healthRoutes, type Readiness } from './health-routes.ts'
import { joinOperations } from './join-operations.ts'
import { metricsRoutes } from './metrics-routes.ts'
import { openApiDocument } from './openapi-document.ts'
import { problemExamples } from './openapi-problems.ts'
import { createRouteRefusal, methodsOnlyOfPatterns } from './route-refusal.ts'
import { securityHeaders } from './security-headers.ts'

const internal = '/internal/'

/** Creates the HTTP application: the middleware, the routes of the hosted modules, and the OpenAPI document of all modules. */
export function createApplication(options: {
  config: Pick<Config, 'requestTimeoutMs' | 'managementPort' | 'corsOrigins' | 'internalSecrets' | 'demo'>
  modules: readonly AnyModule[]
  hosted: ReadonlyMap<string, StartedModule>
  /** The problems of the kernel and of all modules. */
  problems: ProblemTable
  readiness: Readiness
  logger: Logger
  metrics: Metrics
  tracing?: Tracing | undefined
}) {
  const { config, hosted, problems, readiness, logger, metrics, tracing } = options
  const app = createRouter()

  const operations = joinOperations(options.modules)
  const refuseRoute = createRouteRefusal(app, operations)

  app.use(
    requestContext({
      timeoutMs: config.requestTimeoutMs,
      headers: securityHeaders,
      logger,
      metrics,
      tracing,
    }),
  )
  if (config.corsOrigins.length > 0) app.use(crossOrigin(config.corsOrigins))
  app.use(compression(metrics))
  app.use(refuseMalformedEscapes)
  app.use(bodyLimit(maxBodyBytes))

  const describe = () => openApiDocument(operations)
  app.route('/', healthRoutes(readiness))
  if (config.managementPort === undefined) app.route('/', metricsRoutes(metrics))
  app.route(
    '/',
    documentationRoutes({
      document: describe,
      problems,
      examples: problemExamples(operations),
      demo: config.demo,
    }),
  )

  app.use(async (_c, next) => {
    const { missing } = await readiness.started()
    if (missing.length > 0) throw dependencyUnavailable(`not ready: ${missing.join(', ')}`)
    return next()
  })
  for (const [name, module] of hosted) {
    // Refuses the methods that a literal path has only through a pattern. Otherwise `GET /products/create_product`
    // would read a product with this id.
    for (const [method, path] of methodsOnlyOfPatterns(module.routes)) app.on(method, path, refuseRoute)
    app.route('/', module.routes)
    if (module.internal && config.internalSecrets) {
      app.use(`${internal}${name}/*`, credentialGuard(config.internalSecrets, name))
      app.route('/', module.internal)
    }
  }

  app.notFound(refuseRoute)
  app.onError((error, c) => failureResponse(c, error, problems))
  return app
}
