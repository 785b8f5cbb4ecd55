import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { serveStatic } from '@hono/node-server/serve-static'
import { createRoute, z } from '@hono/zod-openapi'
import { cacheControl, respondWith } from '#kernel/http/caching.ts'
import { errorsOf, json } from '#kernel/http/openapi.ts'
import { type ProblemTable, routeNotFound } from '#kernel/http/problems.ts'
import { jsonOf, type Representation } from '#kernel/http/representation.ts'
import { respond, respondJson } from '#kernel/http/respond.ts'
import { createRouter } from '#kernel/http/router.ts'
import { ownPagePolicy } from './security-headers.ts'

const errors = errorsOf({})
const tags = ['Operations']
const html200 = { content: { 'text/html': { schema: z.string() } } }

export const documentationApi = {
  getOpenApiDocument: createRoute({
    method: 'get',
    path: '/openapi.json',
    tags,
    summary: 'Get this document',
    responses: {
      200: {
        description: 'The OpenAPI 3.1 document of the whole API. Every service has it.',
        content: json(z.record(z.string(), z.unknown())),
      },
      ...errors(),
    },
  }),
  getReference: createRoute({
    method: 'get',
    path: '/docs',
    tags,
    summary: 'Read the API reference',
    responses: {
      200: { description: 'An HTML page that works without internet access', ...html200 },
      ...errors(),
    },
  }),
  getProblem: createRoute({
    method: 'get',
    path: '/problems/{code}',
    tags,
    summary: 'Explain a problem `type`',
    request: {
      params: z.object({
        code: z.string().openapi({ param: { name: 'code', in: 'path' }, example: 'validation_failed' }),
      }),
    },
    responses: {
      200: {
        description: 'The meaning of the code, and what a client should do',
        content: json(
          z
            .object({
              code: z.string(),
              status: z.int(),
              title: z.string(),
              advice: z.string().openapi({ description: 'What a client should do, as Markdown' }),
            })
            .openapi('ProblemType'),
        ),
      },
      ...errors('route_not_found'),
    },
  }),
}

export function documentationRoutes(document: () => object, problems: ProblemTable) {
  const router = createRouter()

  // The document is created at the first request, because most processes never need it, and it takes memory.
  let openApi: Representation | undefined
  router.get(documentationApi.getOpenApiDocument.path, (c) => {
    openApi ??= jsonOf(document())
    return respondWith(c, openApi, cacheControl.revalidated)
  })

  router.get(documentationApi.getReference.path, (c) =>
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

// The page loads everything from this process. It uses no CDN and no inline script.
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
