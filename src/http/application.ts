import type { Config } from '#kernel/config/load-config.ts'
import { dependencyUnavailable } from '#kernel/errors.ts'
import { bodyLimit, maxBodyBytes } from '#kernel/http/body-limit.ts'
import { refuseMalformedEscapes } from '#kernel/http/parameters.ts'
import { failureResponse } from '#kernel/http/problem-documents.ts'
import type { ProblemTable } from '#kernel/http/problems.ts'
import { checkRequests } from '#kernel/http/request-checks.ts'
import { requestContext } from '#kernel/http/request-context.ts'
import { createRouter } from '#kernel/http/router.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { AnyModule, StartedModule } from '#kernel/module.ts'
import { credentialGuard } from '#kernel/ports/service-credential.ts'
import type { Tracing } from '#kernel/span.ts'
import { createCompression } from './compression.ts'
import { crossOrigin } from './cross-origin.ts'
import { documentationRoutes } from './documentation-routes.ts'
import { healthRoutes, type Missing, type Readiness } from './health-routes.ts'
import { joinOperations } from './join-operations.ts'
import { metricsRoutes } from './metrics-routes.ts'
import { openApiDocument } from './openapi-document.ts'
import { problemExamples } from './openapi-problems.ts'
import { createRouteRefusal } from './route-refusal.ts'
import { securityHeaders } from './security-headers.ts'

const internal = '/internal/'

/** Creates the HTTP application: the middleware, the routes of the hosted modules, and the OpenAPI document of all modules. */
export function createApplication(options: {
  config: Pick<Config, 'requestTimeoutMs' | 'managementPort' | 'corsOrigins' | 'internalSecrets' | 'demo'>
  modules: readonly AnyModule[]
  hosted: ReadonlyMap<string, StartedModule>
  /** The problems of the kernel and of all modules. */
  problems: ProblemTable
  readiness: Omit<Readiness, 'started'> & { started(): Missing }
  logger: Logger
  metrics: Metrics
  tracing?: Tracing | undefined
}) {
  const { config, hosted, problems, readiness, logger, metrics, tracing } = options
  const app = createRouter()

  const operations = joinOperations(options.modules)

  app.use(
    requestContext({
      timeoutMs: config.requestTimeoutMs,
      headers: securityHeaders,
      compress: createCompression(metrics),
      logger,
      metrics,
      tracing,
    }),
  )
  if (config.corsOrigins.length > 0) app.use(crossOrigin(config.corsOrigins))
  app.use(checkRequests(refuseMalformedEscapes, bodyLimit(maxBodyBytes)))

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

  app.use(
    checkRequests(() => {
      const { missing } = readiness.started()
      if (missing.length > 0) throw dependencyUnavailable(`not ready: ${missing.join(', ')}`)
    }),
  )
  for (const [name, module] of hosted) {
    app.route('/', module.routes)
    if (module.internal && config.internalSecrets) {
      app.use(`${internal}${name}/*`, credentialGuard(config.internalSecrets, name))
      app.route('/', module.internal)
    }
  }

  app.notFound(createRouteRefusal(app, operations))
  app.onError((error, c) => failureResponse(c, error, problems))
  return app
}
