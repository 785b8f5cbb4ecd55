import { readFileSync } from 'node:fs'
import type { Context } from 'hono'
import type { AppEnv } from '#kernel/http/app-env.ts'
import { cacheControl, respondWith, varyBy } from '#kernel/http/caching.ts'
import { routeNotFound } from '#kernel/http/problem-documents.ts'
import type { Problem, ProblemTable } from '#kernel/http/problems.ts'
import { jsonOf, type Representation, representationOf } from '#kernel/http/representation.ts'
import { createRouter } from '#kernel/http/router.ts'
import { entryPoints } from './documentation-api.ts'
import { preferredType } from './negotiation.ts'
import { assetNames, createPageAssets } from './page-assets.ts'
import { type ProblemType, problemListPage, problemPage } from './pages/problem-pages.ts'
import { rootPage } from './pages/root-page.ts'
import { pagePolicy, referencePolicy } from './security-headers.ts'

/** Serves the descriptions of the API: the document, the reference, and the pages of the problems. */
export function documentationRoutes(options: {
  document: () => object
  problems: ProblemTable
  /** The examples of the problems, by code. */
  examples: ReadonlyMap<string, object>
  /** Whether the reference offers to sign in with the demo's account. */
  demo: boolean
}) {
  const { document, problems, examples, demo } = options
  const router = createRouter()
  const assets = createPageAssets()

  // The document is created at the first request, because most processes never need it, and it takes memory.
  let openApi: Representation | undefined
  router.get('/openapi.json', (c) => {
    openApi ??= jsonOf(document())
    return respondWith(c, openApi, cacheControl.revalidated)
  })

  let referencePage: string | undefined
  router.get('/docs', (c) => {
    referencePage ??= readFileSync(new URL('reference/reference.html', import.meta.url), 'utf8')
      .replaceAll('{assets}', assets().folder)
      .replace('{demo}', String(demo))
    return respondPage(c, referencePage, referencePolicy)
  })

  router.get(`/docs/assets/:version/:file{${assetNames}}`, (c) => {
    const { folder, files } = assets()
    const { version, file } = c.req.param()
    // During an upgrade, a page of the other version may ask for its files here.
    const isCurrent = folder.endsWith(`/${version}`)
    return respondWith(
      c,
      files.get(file) as Representation,
      isCurrent ? cacheControl.immutable : cacheControl.revalidated,
    )
  })

  router.get('/', (c) => respondToReader(c, entryPoints, () => rootPage(assets().folder)))

  const types = new Map(
    Object.entries(problems).map(([code, problem]) => [
      code,
      problemType(code, problem, examples.get(code) as object),
    ]),
  )
  router.get('/problems', (c) => {
    const all = [...types.values()]
    return respondToReader(c, { data: all }, () => problemListPage(all, assets().folder))
  })
  router.get('/problems/:code', (c) => {
    const type = types.get(c.req.param('code'))
    if (!type) throw routeNotFound(c.req.path)
    return respondToReader(c, type, () => problemPage(type, assets().folder))
  })

  return router
}

function problemType(code: string, problem: Problem, example: object): ProblemType {
  const { status, title, meaning, advice, retryable = false } = problem
  return { type: `/problems/${code}`, code, status, title, meaning, advice, retryable, example }
}

function respondPage(c: Context<AppEnv>, page: string, policy: string): Response {
  c.get('headers')['content-security-policy'] = policy
  return respondWith(c, representationOf(page, 'text/html; charset=UTF-8'), cacheControl.revalidated)
}

/** Answers a person with a page, and a program with JSON that is readable in a terminal too. */
function respondToReader(c: Context<AppEnv>, content: object, page: () => string): Response {
  varyBy(c, 'Accept')
  const type = preferredType(c.req.header('Accept'), ['application/json', 'text/html'])
  if (type === 'text/html') return respondPage(c, page(), pagePolicy)
  const text = `${JSON.stringify(content, null, 2)}\n`
  return respondWith(c, representationOf(text, 'application/json'), cacheControl.revalidated)
}
