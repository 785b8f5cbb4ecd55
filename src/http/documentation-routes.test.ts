import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { requestContext } from '#kernel/http/request-context.ts'
import { createRouter } from '#kernel/http/router.ts'
import { createDocumentValidator } from '#test/support/document-validator.ts'
import { problems } from '#test/support/problems.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { type Shop, startComposition, startShop } from '#test/support/shop.ts'
import { documentationRoutes } from './documentation-routes.ts'

let shop: Shop
beforeAll(async () => {
  shop = await startShop({ environment: { DEMO: 'true' } })
})
afterAll(() => shop.close())

const read = (path: string, accept: string, method = 'GET') =>
  shop.request(method, path, { headers: { Accept: accept } })

// What Chromium sends.
const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8'

describe.each(['/', '/problems', '/problems/version_conflict'])('the page %s', (path) => {
  it('browsers get HTML without anything inline, and the policy allows no scripts', async () => {
    const { status, headers, body } = await read(path, browser)
    expect(status).toBe(200)
    expect(headers.get('content-type')).toBe('text/html; charset=UTF-8')
    const policy = headers.get('content-security-policy')
    expect(policy).toMatch(/^default-src 'none'; style-src 'self'; img-src 'self';/)
    expect(policy).not.toMatch(/unsafe|script-src/)
    expect(body).toMatch(/^<!doctype html>\n/)
    expect(body).not.toMatch(/<script|<style|\sstyle=|\son\w+=|javascript:/i)
  })

  it('programs get JSON that is readable in a terminal', async () => {
    const { headers, body } = await read(path, '*/*')
    expect(headers.get('content-type')).toBe('application/json')
    const text = await (await shop.fetch(new Request(`http://localhost${path}`))).text()
    expect(text).toBe(`${JSON.stringify(body, null, 2)}\n`)
  })

  it('the HTML and the JSON of a path vary by Accept, and HEAD has the same header fields', async () => {
    for (const accept of [browser, 'application/json']) {
      const { headers } = await read(path, accept)
      expect(headers.get('vary')).toContain('Accept')
      const head = await read(path, accept, 'HEAD')
      expect(head.body).toBe('')
      for (const name of ['content-type', 'content-security-policy', 'vary']) {
        expect(head.headers.get(name), name).toBe(headers.get(name))
      }
    }
  })

  it('the HTML and the JSON of a path each have an entity tag, and a read that names it gets 304', async () => {
    const tags = new Set<string>()
    for (const accept of [browser, 'application/json']) {
      const { headers } = await read(path, accept)
      expect(headers.get('cache-control')).toBe('no-cache')
      const tag = headers.get('etag') ?? ''
      tags.add(tag)
      const again = await shop.get(path, { headers: { Accept: accept, 'If-None-Match': tag } })
      expect(again).toMatchObject({ status: 304, body: '' })
    }
    expect(tags.size).toBe(2)
  })
})

describe('the files of the pages', () => {
  const filesOf = async (path: string): Promise<string[]> =>
    [...(await read(path, browser)).body.matchAll(/"(\/docs\/assets\/[^"]+)"/g)].map(([, file]) => file)

  it.each(['/', '/problems', '/problems/forbidden', '/docs'])(
    'browsers may keep each file of the page %s for a year',
    async (path) => {
      const files = await filesOf(path)
      expect(files.length).toBeGreaterThanOrEqual(2)
      for (const file of files) {
        const { status, headers } = await shop.get(file)
        expect(status, file).toBe(200)
        expect(headers.get('cache-control'), file).toBe('public, max-age=31536000, immutable')
      }
    },
  )

  it('a file of another version is the current one, which caches must revalidate', async () => {
    const [file = ''] = await filesOf('/docs')
    const other = file.replace(/assets\/[^/]+/, 'assets/other')
    const [current, replaced] = [await shop.get(file), await shop.get(other)]
    expect(replaced).toMatchObject({ status: 200, body: current.body })
    expect(replaced.headers.get('cache-control')).toBe('no-cache')
  })

  it('scripts and styles are compressed', async () => {
    for (const file of await filesOf('/docs')) {
      if (!/\.(js|css)$/.test(file)) continue
      const headers = { 'Accept-Encoding': 'br' }
      const answer = await shop.fetch(new Request(`http://localhost${file}`, { headers }))
      expect(answer.headers.get('content-encoding'), file).toBe('br')
      expect(answer.headers.get('vary'), file).toContain('Accept-Encoding')
    }
  })

  it('the modules that the script of the reference imports exist', async () => {
    const script = (await filesOf('/docs')).find((file) => file.endsWith('/reference.js')) ?? ''
    const imports = [...(await shop.get(script)).body.matchAll(/from '\.\/([^']+)'/g)].map(([, name]) => name)
    expect(imports.length).toBeGreaterThanOrEqual(3)
    for (const name of imports) {
      expect((await shop.get(script.replace('reference.js', name))).status, name).toBe(200)
    }
  })
})

it('the reference offers the demo account only in a demo', async () => {
  expect((await shop.get('/docs')).body).toContain('data-demo="true"')
  const { composition, close } = await startComposition({ environment: { DEMO: 'false' } })
  expect(await (await composition.app.request('/docs')).text()).toContain('data-demo="false"')
  await close()
})

it('GET / leads to the reference, the document and the problems', async () => {
  const paths = (await shop.get('/')).body
  const page = (await read('/', browser)).body
  for (const path of [paths.reference, paths.document, paths.problems]) {
    expect((await shop.get(path)).status, path).toBe(200)
    expect(page).toContain(`<a href="${path}">`)
  }
})

it('each problem type has a description with a complete example, and the list has all of them', async () => {
  const faultsOf = createDocumentValidator((await shop.get('/openapi.json')).body)
  const list = (await shop.get('/problems')).body.data
  expect(list.map(({ code }: { code: string }) => code)).toEqual(Object.keys(problems))
  const page = (await read('/problems', browser)).body
  for (const [code, { status, title, meaning, advice, retryable = false }] of Object.entries(problems)) {
    const type = `/problems/${code}`
    const answer = await shop.get(type)
    expect(answer).toMatchObject({
      status: 200,
      body: { type, code, status, title, meaning, advice, retryable },
    })
    expect(answer.body.example).toMatchObject({ type, code, status, title, retryable })
    expect(faultsOf(['components', 'schemas', 'Problem'], answer.body.example), code).toEqual([])
    expect(list).toContainEqual(answer.body)
    expect(page).toContain(`<a href="${type}">`)
    expect((await read(type, browser)).body, code).toContain(`<code class="tag">${code}</code>`)
  }
})

it('a code that does not exist gets 404, also if objects have a property of this name', async () => {
  for (const code of ['nothing', 'toString', '__proto__']) {
    expect(await read(`/problems/${code}`, browser)).toMatchObject({
      status: 404,
      body: { code: 'route_not_found' },
    })
  }
})

it('texts of problems are escaped in pages, and text between backticks becomes code', async () => {
  const hostile = '<img src=x onerror=alert(1)>'
  const routes = documentationRoutes({
    document: () => ({}),
    problems: {
      hostile: { status: 404, title: hostile, meaning: hostile, advice: `Read \`${hostile}\` & go.` },
    },
    examples: new Map([['hostile', {}]]),
    demo: false,
  })
  const app = createRouter()
    .use(requestContext({ timeoutMs: 5_000, logger: await quiet }))
    .route('/', routes)
  const readPage = async (path: string) =>
    (await app.request(path, { headers: { Accept: 'text/html' } })).text()
  for (const path of ['/problems', '/problems/hostile']) {
    const page = await readPage(path)
    expect(page).not.toContain('<img src=x')
    expect(page).toContain('&lt;img src=x onerror=alert(1)&gt;')
  }
  const page = await readPage('/problems/hostile')
  expect(page).toContain('Read <code>&lt;img src=x onerror=alert(1)&gt;</code> &amp; go.')
})
