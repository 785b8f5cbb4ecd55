import { readFileSync } from 'node:fs'
import type { Context } from 'hono'
import type { AppEnv } from '#kernel/http/app-env.ts'
import { cacheControl, respondWith, varyBy } from '#kernel/http/caching.ts'
import { exampleOf } from '#kernel/http/problem-responses.ts'
import { type Problem, type ProblemTable, routeNotFound } from '#kernel/http/problems.ts'
import { jsonOf, type Representation, representationOf } from '#kernel/http/representation.ts'
import { createRouter } from '#kernel/http/router.ts'
import { preferredType } from './negotiation.ts'
import { assetNames, createPageAssets } from './page-assets.ts'
import { type ProblemType, problemListPage, problemPage } from './pages/problem-pages.ts'
import { rootPage } from './pages/root-page.ts'
import { pagePolicy, referencePolicy } from './security-headers.ts'

/** Serves the descriptions of the API: the document, the reference, and the pages of the problems. */
export function documentationRoutes(options: {
  document: () => object
  problems: ProblemTable
  /** Whether the reference offers to sign in with the demo's account. */
  demo: boolean
}) {
  const { document, problems, demo } = options
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

  router.get('/', (c) => {
    const paths = { name: 'Trivet', reference: '/docs', document: '/openapi.json', problems: '/problems' }
    return respondToReader(c, paths, () => rootPage(assets().folder))
  })
  router.get('/problems', (c) => {
    const all = Object.entries(problems).map(([code, problem]) => problemType(code, problem))
    return respondToReader(c, { data: all }, () => problemListPage(all, assets().folder))
  })
  router.get('/problems/:code', (c) => {
    const code = c.req.param('code')
    const problem = Object.hasOwn(problems, code) ? problems[code] : undefined
    if (!problem) throw routeNotFound(c.req.path)
    const type = problemType(code, problem)
    return respondToReader(c, type, () => problemPage(type, assets().folder))
  })

  return router
}

function problemType(code: string, problem: Problem): ProblemType {
  const { status, title, meaning, advice, retryable = false } = problem
  const example = exampleOf(code, problem).value
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
