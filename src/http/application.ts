import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { Config } from '#kernel/config/load-config.ts'
import { DomainError, dependencyUnavailable, isDomainError } from '#kernel/errors.ts'
import type { AppEnv } from '#kernel/http/app-env.ts'
import { bodyLimit, maxBodyBytes } from '#kernel/http/body-limit.ts'
import { patchTypes } from '#kernel/http/json-body.ts'
import { refuseMalformedEscapes } from '#kernel/http/parameters.ts'
import { methodNotAllowed, type ProblemTable, problemResponse, routeNotFound } from '#kernel/http/problems.ts'
import { requestContext } from '#kernel/http/request-context.ts'
import { respond } from '#kernel/http/respond.ts'
import { createRouter } from '#kernel/http/router.ts'
import type { Logger } from '#kernel/logger.ts'
import type { AnyModule, StartedModule } from '#kernel/module.ts'
import { credentialGuard } from '#kernel/ports/service-credential.ts'
import { compression } from './compression.ts'
import { crossOrigin } from './cross-origin.ts'
import { documentationRoutes } from './documentation-routes.ts'
import { healthRoutes, type Readiness } from './health-routes.ts'
import { joinOperations } from './join-operations.ts'
import { openApiDocument } from './openapi-document.ts'
import { serverWidePath } from './request-target.ts'
import { securityHeaders } from './security-headers.ts'

const internal = '/internal/'

// The methods that are looked up for a path, in the order of the `Allow` header. HEAD and OPTIONS need no look-up: Hono
// answers HEAD for each route with GET, and `refuseRoute` answers OPTIONS.
const routedMethods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** Creates the HTTP application: the middleware, the routes of the hosted modules, and the OpenAPI document of all modules. */
export function createApplication(options: {
  config: Pick<Config, 'requestTimeoutMs' | 'corsOrigins' | 'internalSecrets' | 'demo'>
  modules: readonly AnyModule[]
  hosted: ReadonlyMap<string, StartedModule>
  /** The problems of the kernel and of all modules. */
  problems: ProblemTable
  readiness: Readiness
  logger: Logger
}) {
  const { config, hosted, problems, readiness, logger } = options
  const app = createRouter()

  const operations = joinOperations(options.modules)
  const methodsOfAllRoutes = new Set([...operations.values()].map(({ method }) => method.toUpperCase()))
  let maxRouteSegments = 0
  /** Answers a request that has no route: 404 if its path has no methods, 204 to OPTIONS, and 405 otherwise. */
  const refuseRoute = (c: Context<AppEnv>): Response => {
    const { method, path } = c.req
    // `OPTIONS *` asks about the server as a whole (RFC 9110, 9.3.7). The answer is the same from every service.
    const isServerWide = method === 'OPTIONS' && path === serverWidePath
    const hasRoute = (candidate: string) => {
      const [route] = matchedRoutes(app, candidate, path)
      return route !== undefined && route.handler !== refuseRoute
    }
    // A path with more segments than any route is refused first, because looking up each of its methods would take
    // long.
    maxRouteSegments ||= Math.max(...app.routes.map((route) => route.path.split('/').length))
    if (path.split('/', maxRouteSegments + 2).length > maxRouteSegments + 1) {
      return problemResponse(c, routeNotFound(path))
    }
    const routed = routedMethods.filter((each) =>
      isServerWide ? methodsOfAllRoutes.has(each) : hasRoute(each),
    )
    if (routed.length === 0) return problemResponse(c, routeNotFound(path))
    const allowed = [...routed.flatMap((each) => (each === 'GET' ? ['GET', 'HEAD'] : [each])), 'OPTIONS']
    if (method === 'OPTIONS') {
      const isPatchable = !isServerWide && routed.includes('PATCH')
      return respond(c, null, 204, {
        allow: allowed.join(', '),
        // RFC 5789, section 3.1.
        ...(isPatchable && { 'accept-patch': patchTypes.join(', ') }),
      })
    }
    return problemResponse(c, methodNotAllowed(method, path, allowed))
  }

  app.use(requestContext({ timeoutMs: config.requestTimeoutMs, headers: securityHeaders, logger }))
  if (config.corsOrigins.length > 0) app.use(crossOrigin(config.corsOrigins))
  app.use(compression())
  app.use(refuseMalformedEscapes)
  app.use(bodyLimit(maxBodyBytes))

  const describe = () => openApiDocument(operations)
  app.route('/', healthRoutes(readiness))
  app.route('/', documentationRoutes({ document: describe, problems, demo: config.demo }))

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
  app.onError((error, c) => problemResponse(c, toDomainError(error, c, logger, problems), problems))
  return app
}

/** The routes that match a request, without middleware, in the order in which Hono tries them. */
function matchedRoutes({ router }: OpenAPIHono<AppEnv>, method: string, path: string) {
  const [matched] = router.match(method, path)
  return matched.map(([[, route]]) => route).filter((route) => route.method !== 'ALL')
}

/** The methods that a literal path would have only because a pattern such as `/{id}` matches it too. */
function methodsOnlyOfPatterns(routes: OpenAPIHono<AppEnv>): [method: string, path: string][] {
  const literalPaths = new Set(routes.routes.map(({ path }) => path).filter((path) => !/[:*]/.test(path)))
  return [...literalPaths].flatMap((path) =>
    routedMethods
      .filter((method) => {
        const matched = matchedRoutes(routes, method, path)
        return matched.length > 0 && matched.every((route) => route.path !== path)
      })
      .map((method): [string, string] => [method, path]),
  )
}

function toDomainError(
  error: Error,
  c: Context<AppEnv>,
  logger: Logger,
  problems: ProblemTable,
): DomainError {
  const { requestId } = c.get('call')
  if (isDomainError(error)) {
    if (error.code === 'dependency_unavailable') logger.warn({ requestId, err: error }, error.message)
    if (error.code !== 'internal_error' && Object.hasOwn(problems, error.code)) return error
  }
  logger.error({ requestId, err: error }, 'unexpected error')
  return new DomainError('internal_error', 'the server failed; its log has the error under this request id')
}
