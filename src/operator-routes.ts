import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { serveStatic } from '@hono/node-server/serve-static'
import { createRoute, z } from '@hono/zod-openapi'
import { html } from 'hono/html'
import { ownPagePolicy } from './browser-policy.ts'
import { DomainError } from './kernel/errors.ts'
import { isErrorCode, problemResponse, problems } from './kernel/http-errors.ts'
import { errors, json } from './kernel/openapi.ts'
import { respond, respondJson } from './kernel/response.ts'
import { createRouter } from './kernel/router.ts'

/** What keeps the process from receiving traffic, by name; empty when nothing does. */
export interface Missing {
  missing: string[]
}

export interface Readiness {
  /** Whether the start has come to its end: database found, migrations applied. */
  started(): Missing | Promise<Missing>
  /** Whether requests should be sent here now: started, not draining, and the database answers. */
  ready(): Promise<Missing>
}

const tags = ['Operations']
const status = z.object({ status: z.string() })
const html200 = { content: { 'text/html': { schema: z.string() } } }

export const operatorApi = {
  healthz: createRoute({
    method: 'get',
    path: '/healthz',
    tags,
    summary: 'Alive',
    responses: { 200: { description: 'The process is alive', content: json(status) } },
  }),
  readyz: createRoute({
    method: 'get',
    path: '/readyz',
    tags,
    summary: 'May receive traffic',
    description: 'Its own database and migrations, never another module. 503 names what is missing.',
    responses: { 200: { description: 'Ready', content: json(status) }, ...errors() },
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
    },
  }),
  reference: createRoute({
    method: 'get',
    path: '/docs',
    tags,
    summary: 'The reference, for people',
    responses: { 200: { description: 'A page that works without internet access', ...html200 } },
  }),
  problem: createRoute({
    method: 'get',
    path: '/problems/{code}',
    tags,
    summary: 'What a problem `type` stands for',
    request: {
      params: z.object({
        code: z.string().openapi({ param: { name: 'code', in: 'path' }, example: 'insufficient_stock' }),
      }),
    },
    responses: {
      200: {
        description: 'The problem',
        content: json(
          z.object({ code: z.string(), status: z.int(), title: z.string() }).openapi('ProblemType'),
        ),
      },
      ...errors('route_not_found'),
    },
  }),
}

export function operatorRoutes(document: () => object, readiness: Readiness) {
  const router = createRouter()

  // Not by `openapi`, which refuses parameters that it does not know: what probes a process may add some of its own.
  router.get(operatorApi.healthz.path, (c) => {
    c.set('probe', true)
    return respondJson(c, { status: 'alive' }, 200)
  })

  router.get(operatorApi.readyz.path, async (c) => {
    c.set('probe', true)
    const { missing } = await readiness.ready()
    if (missing.length === 0) return respondJson(c, { status: 'ready' }, 200)
    const error = new DomainError('dependency_unavailable', `not ready: ${missing.join(', ')}`, { missing })
    return problemResponse(c, error)
  })

  // Made for the first who asks: that takes memory which most processes have no other use for.
  let text: string | undefined
  router.get(operatorApi.document.path, (c) => {
    text ??= JSON.stringify(document())
    return respond(c, text, 200, { 'content-type': 'application/json' })
  })

  router.get(operatorApi.reference.path, (c) =>
    c.html(referencePage, 200, { 'Content-Security-Policy': ownPagePolicy }),
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
    if (!isErrorCode(code)) throw new DomainError('route_not_found', `${code}: there is no such problem`)
    const { status, title } = problems[code]
    return respondJson(c, { code, status, title }, 200)
  })

  return router
}

// Everything comes from this process: no CDN, no inline script.
const referencePage = html`<!doctype html>
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
