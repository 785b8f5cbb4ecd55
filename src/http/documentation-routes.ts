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
import { referencePage } from './pages/reference-page.ts'
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

  const openApi = madeOnce(() => jsonOf(document()))
  router.get('/openapi.json', (c) => respondWith(c, openApi(), cacheControl.revalidated))

  const reference = madeOnce(() => pageOf(referencePage(assets().folder, demo)))
  router.get('/docs', (c) => respondWithPage(c, reference(), referencePolicy))

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

  router.get(
    '/',
    toReaders(entryPoints, () => rootPage(assets().folder)),
  )

  const types = Object.entries(problems).map(([code, problem]) =>
    problemType(code, problem, examples.get(code) as object),
  )
  router.get(
    '/problems',
    toReaders({ data: types }, () => problemListPage(types, assets().folder)),
  )

  const descriptions = new Map(
    types.map((type) => [type.code, toReaders(type, () => problemPage(type, assets().folder))]),
  )
  router.get('/problems/:code', (c) => {
    const respond = descriptions.get(c.req.param('code'))
    if (!respond) throw routeNotFound(c.req.path)
    return respond(c)
  })

  return router
}

function problemType(code: string, problem: Problem, example: object): ProblemType {
  const { status, title, meaning, advice, retryable = false } = problem
  return { type: `/problems/${code}`, code, status, title, meaning, advice, retryable, example }
}

/** Makes a representation at the first request for it, because most processes never need it, and it takes memory. */
function madeOnce<Body>(make: () => Representation<Body>): () => Representation<Body> {
  let made: Representation<Body> | undefined
  return () => {
    made ??= make()
    return made
  }
}

const pageOf = (html: string) => representationOf(html, 'text/html; charset=UTF-8')

function respondWithPage(c: Context<AppEnv>, page: Representation, policy: string): Response {
  c.get('headers')['content-security-policy'] = policy
  return respondWith(c, page, cacheControl.revalidated)
}

/** Answers a person with a page, and a program with JSON that is readable in a terminal too. */
function toReaders(content: object, html: () => string): (c: Context<AppEnv>) => Response {
  const page = madeOnce(() => pageOf(html()))
  const json = madeOnce(() => representationOf(`${JSON.stringify(content, null, 2)}\n`, 'application/json'))
  return (c) => {
    varyBy(c, 'Accept')
    const type = preferredType(c.req.header('Accept'), ['application/json', 'text/html'])
    if (type === 'text/html') return respondWithPage(c, page(), pagePolicy)
    return respondWith(c, json(), cacheControl.revalidated)
  }
}
