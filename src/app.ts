import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { TrieRouter } from 'hono/router/trie-router'
import { crossOrigin, securityHeaders } from './browser-policy.ts'
import { bodyBound, bodyLimit } from './kernel/body-limit.ts'
import type { Config } from './kernel/config.ts'
import { DomainError, dependencyUnavailable, isDomainError } from './kernel/errors.ts'
import { problemResponse } from './kernel/http-errors.ts'
import type { Logger } from './kernel/logger.ts'
import type { AnyModule, StartedModule } from './kernel/module.ts'
import { refuseMalformedEscapes } from './kernel/parameters.ts'
import { requestContext } from './kernel/request-context.ts'
import { type AppEnv, createRouter } from './kernel/router.ts'
import { credentialGuard } from './kernel/service-credential.ts'
import { operatorApi, operatorRoutes, type Readiness } from './operator-routes.ts'

const internal = '/internal/'

/** The HTTP application: middleware once, the hosted modules' routes, and the document of the whole API. */
export function createApp(options: {
  config: Pick<Config, 'requestTimeout' | 'corsOrigins' | 'internalSecrets'>
  modules: readonly AnyModule[]
  hosted: ReadonlyMap<string, StartedModule>
  readiness: Readiness
  logger: Logger
}) {
  const { config, hosted, readiness, logger } = options
  const app = createRouter()

  app.use(requestContext({ timeout: config.requestTimeout, headers: securityHeaders, logger }))
  if (config.corsOrigins.length > 0) app.use(crossOrigin(config.corsOrigins))
  app.use(refuseMalformedEscapes)
  app.use(bodyLimit(bodyBound))

  const describe = () => documentOf(options.modules)
  app.route('/', operatorRoutes(describe, readiness))

  app.use(async (_c, next) => {
    const { missing } = await readiness.started()
    if (missing.length > 0) throw dependencyUnavailable(`not ready: ${missing.join(', ')}`)
    return next()
  })
  for (const [name, module] of hosted) {
    app.route('/', module.routes)
    if (module.internal && config.internalSecrets) {
      app.use(`${internal}${name}/*`, credentialGuard(config.internalSecrets, name))
      app.route('/', module.internal)
    }
  }

  const methodsOf = routedMethods(app)
  app.notFound((c) => {
    const allowed = methodsOf(c.req.path)
    if (allowed.length === 0) {
      return problemResponse(c, new DomainError('route_not_found', `${c.req.path}: there is no such route`))
    }
    c.get('headers').allow = allowed.join(', ')
    const message = `${c.req.method}: ${c.req.path} has ${allowed.join(', ')}`
    return problemResponse(c, new DomainError('method_not_allowed', message, { allowed }))
  })
  app.onError((error, c) => problemResponse(c, toDomainError(error, c, logger)))
  return app
}

/** Every public route of every module, hosted here or not. */
function documentOf(modules: readonly AnyModule[]) {
  const described = new OpenAPIHono()
  for (const { name, api } of [...modules, { name: 'operator', api: operatorApi }]) {
    for (const [operation, route] of Object.entries(api)) {
      described.openAPIRegistry.registerPath({ ...route, operationId: `${name}.${operation}` })
    }
  }
  described.openAPIRegistry.registerComponent('securitySchemes', 'accessToken', {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'the `accessToken` of POST /login',
  })
  return described.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Trivet',
      version: '0.1.0',
      description:
        'A commerce back end: accounts, products, orders. Every error is a problem document (RFC 9457) whose `code` is stable. Paths are served with and without a trailing slash.',
    },
    servers: [{ url: '/' }],
    tags: [
      { name: 'Accounts', description: 'Registration and sign-in' },
      { name: 'Products', description: 'The catalogue and its stock' },
      { name: 'Orders', description: 'Buying, shipping, cancelling' },
      { name: 'Operations', description: 'For operators and machines' },
    ],
  })
}

/** What may be asked of a path, for 405 and its `Allow`: Hono itself only knows that nothing matched. */
function routedMethods(app: OpenAPIHono<AppEnv>): (path: string) => string[] {
  const router = new TrieRouter<string>()
  for (const { method, path } of app.routes) {
    if (method !== 'ALL') router.add('ALL', path, method)
  }
  return (path) => {
    const [matched] = router.match('ALL', path)
    const methods = new Set(matched.map(([method]) => method))
    if (methods.has('GET')) methods.add('HEAD')
    return [...methods]
  }
}

function toDomainError(error: Error, c: Context<AppEnv>, logger: Logger): DomainError {
  const { requestId } = c.get('call')
  if (isDomainError(error)) {
    if (error.code === 'dependency_unavailable') logger.warn({ requestId, err: error }, error.message)
    if (error.code !== 'internal_error') return error
  }
  logger.error({ requestId, err: error }, 'unexpected error')
  return new DomainError('internal_error', 'something went wrong; the log has it under this request id')
}
