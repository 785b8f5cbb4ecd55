import { gunzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { cacheControl, respondWith } from '#kernel/http/caching.ts'
import { jsonOf } from '#kernel/http/representation.ts'
import { requestContext } from '#kernel/http/request-context.ts'
import { createRouter } from '#kernel/http/router.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { createCompression } from './compression.ts'

const contentOf = (name: string) => `${name} `.repeat(20_000)

/** An application that answers each path with a large body of its own, and compresses it. */
const app = createRouter().use(
  requestContext({ timeoutMs: 20_000, logger: await quiet, compress: createCompression(createMetrics()) }),
)
app.get('/:name', (c) => respondWith(c, jsonOf(contentOf(c.req.param('name'))), cacheControl.revalidated))

/** Reads a body, and returns whether it was compressed. */
async function isCompressed(name: string): Promise<boolean> {
  const answer = await app.request(`/${name}`, { headers: { 'Accept-Encoding': 'gzip' } })
  expect(answer.status).toBe(200)
  const coding = answer.headers.get('content-encoding')
  const bytes = Buffer.from(await answer.arrayBuffer())
  expect(JSON.parse(String(coding === null ? bytes : gunzipSync(bytes)))).toBe(contentOf(name))
  return coding === 'gzip'
}

it('a body is sent as it is while too many others wait for compression, and is compressed later', async () => {
  const names = Array.from({ length: 100 }, (_, n) => `body-${n}`)
  const atOnce = await Promise.all(names.map(isCompressed))
  expect(atOnce.filter((each) => each).length).toBeGreaterThanOrEqual(64)
  expect(atOnce).toContain(false)
  for (const name of names) expect(await isCompressed(name), name).toBe(true)
})

it('a body that many clients ask for at once is compressed once', async () => {
  const answers = await Promise.all(Array.from({ length: 100 }, () => isCompressed('popular')))
  expect(answers).not.toContain(false)
})
