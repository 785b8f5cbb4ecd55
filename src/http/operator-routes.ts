import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { serveStatic } from '@hono/node-server/serve-static'
import { createRoute, z } from '@hono/zod-openapi'
import { DomainError } from '#kernel/errors.ts'
import { errorsOf, json } from '#kernel/http/openapi.ts'
import { type ProblemTable, problemResponse, routeNotFound } from '#kernel/http/problems.ts'
import { respond, respondJson } from '#kernel/http/respond.ts'
import { createRouter } from '#kernel/http/router.ts'
import { ownPagePolicy } from './security-headers.ts'

/** What keeps the process from receiving traffic, by name; empty when nothing does. */
export interface Missing {
  missing: readonly string[]
  /** What to do about it, where that is known. */
  reason?: string
}

export interface Readiness {
  /** Whether the start has come to its end: database found, migrations applied. */
  started(): Missing | Promise<Missing>
  /** Whether requests should be sent here now, and which databases do not answer at the moment. */
  ready(): Promise<Missing & { unavailable: readonly string[] }>
}

const errors = errorsOf({})
const tags = ['Operations']
const status = z.object({ status: z.string() })
const ready = status.extend({
  unavailable: z
    .array(z.string())
    .optional()
    .openapi({
      description:
        'the databases that have not answered for less than 30 s, which an election of MongoDB takes; absent when all of them answer',
      example: ['database of auth'],
    }),
})
const html200 = { content: { 'text/html': { schema: z.string() } } }

export const operatorApi = {
  healthz: createRoute({
    method: 'get',
    path: '/healthz',
    tags,
    summary: 'Alive',
    responses: { 200: { description: 'The process is alive', content: json(status) }, ...errors() },
  }),
  readyz: createRoute({
    method: 'get',
    path: '/readyz',
    tags,
    summary: 'May receive traffic',
    description:
      'The process has started, applied its migrations, and is not draining. Another module never counts. A database that has been away for less than 30 s is named in `unavailable` and leaves the process ready. 503 names in `missing` what is missing; a database is missing after 30 s, or at once if the server that answers cannot be used.',
    responses: { 200: { description: 'Ready', content: json(ready) }, ...errors() },
  }),
  document: createRoute({
    method: 'get',
    path: '/openapi.json',
    tags,
    summary: 'This document',
    responses: {
      200: {
        description: 'OpenAPI 3.1, the whole API, from any service',
        content: json(z.record(z.string(), z.unknown())),
      },
      ...errors(),
    },
  }),
  reference: createRoute({
    method: 'get',
    path: '/docs',
    tags,
    summary: 'The reference, for people',
    responses: { 200: { description: 'A page that works without internet access', ...html200 }, ...errors() },
  }),
  problem: createRoute({
    method: 'get',
    path: '/problems/{code}',
    tags,
    summary: 'What a problem `type` stands for',
    request: {
      params: z.object({
        code: z.string().openapi({ param: { name: 'code', in: 'path' }, example: 'validation_failed' }),
      }),
    },
    responses: {
      200: {
        description: 'The problem',
        content: json(
          z
            .object({
              code: z.string(),
              status: z.int(),
              title: z.string(),
              advice: z.string().openapi({ description: 'what a client should do' }),
            })
            .openapi('ProblemType'),
        ),
      },
      ...errors('route_not_found'),
    },
  }),
}

export function operatorRoutes(document: () => object, readiness: Readiness, problems: ProblemTable) {
  const router = createRouter()

  // Not by `openapi`, which refuses parameters that it does not know: what probes a process may add some of its own.
  router.get(operatorApi.healthz.path, (c) => {
    c.set('probe', true)
    return respondJson(c, { status: 'alive' }, 200)
  })

  router.get(operatorApi.readyz.path, async (c) => {
    c.set('probe', true)
    const { missing, reason, unavailable } = await readiness.ready()
    if (missing.length === 0) {
      return respondJson(c, { status: 'ready', ...(unavailable.length > 0 && { unavailable }) }, 200)
    }
    const message = [`not ready: ${missing.join(', ')}`, ...(reason ? [reason] : [])].join('; ')
    const error = new DomainError('dependency_unavailable', message, { missing })
    return problemResponse(c, error)
  })

  // Made for the first who asks: that takes memory which most processes have no other use for.
  let text: string | undefined
  router.get(operatorApi.document.path, (c) => {
    text ??= JSON.stringify(document())
    return respond(c, text, 200, { 'content-type': 'application/json' })
  })

  router.get(operatorApi.reference.path, (c) =>
    respond(c, referencePage, 200, {
      'content-type': 'text/html; charset=UTF-8',
      'content-security-policy': ownPagePolicy,
    }),
  )
  const assets = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))
  router.get(
    '/docs/assets/:file{swagger-ui\\.css|swagger-ui-bundle\\.js|favicon-32x32\\.png}',
    serveStatic({ root: assets, rewriteRequestPath: (path) => path.replace('/docs/assets/', '/') }),
  )
  router.get('/docs/assets/reference.js', (c) =>
    respond(c, referenceScript, 200, { 'content-type': 'text/javascript' }),
  )

  router.get('/problems/:code', (c) => {
    const code = c.req.param('code')
    const problem = Object.hasOwn(problems, code) ? problems[code] : undefined
    if (!problem) throw routeNotFound(c.req.path)
    const { status, title, advice } = problem
    return respondJson(c, { code, status, title, advice }, 200)
  })

  return router
}

// Everything comes from this process: no CDN, no inline script.
const referencePage = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Trivet API</title>
    <link rel="icon" href="/docs/assets/favicon-32x32.png">
    <link rel="stylesheet" href="/docs/assets/swagger-ui.css">
  </head>
  <body>
    <div id="reference"></div>
    <script src="/docs/assets/swagger-ui-bundle.js"></script>
    <script src="/docs/assets/reference.js"></script>
  </body>
</html>`

const referenceScript = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#reference',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
})`
