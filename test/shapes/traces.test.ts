import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { type ExportedSpan, startCollector } from '#test/support/otlp-collector.ts'
import { deploy, type Shape, shapes } from '#test/support/processes.ts'

const orderCount = 12
// No span is exported before the end of the process, which exports all of them.
const exportAtTheEnd = { OTEL_BSP_SCHEDULE_DELAY: '600000' }

const traceIdOf = (n: number) => `${n + 1}`.padStart(32, 'a')
const callerSpanId = 'b'.repeat(16)
const traceparentOf = (n: number) => `00-${traceIdOf(n)}-${callerSpanId}-01`

const oneProcess = [
  'trivet-all: POST /orders',
  '  trivet-all: product.reserve',
  '    trivet-all: wait for the stock queue',
  '      trivet-all: stock.transaction',
]
const split = [
  'trivet-gateway: POST',
  '  trivet-gateway: forward',
  '    trivet-order: POST /orders',
  '      trivet-order: product.reserve',
  '        trivet-order: wait for product',
  '          trivet-product: product.reserve',
  '            trivet-product: wait for the stock queue',
  '              trivet-product: stock.transaction',
]

/** The spans of a trace in lines, each indented below its parent. */
function treeOf(spans: readonly ExportedSpan[], parentSpanId: string, indent = ''): string[] {
  return spans
    .filter((span) => span.parentSpanId === parentSpanId)
    .flatMap((span) => [
      `${indent}${span.service}: ${span.name}`,
      ...treeOf(spans, span.spanId, `${indent}  `),
    ])
}

/** Expects these lines in the tree, each below the one before it. */
const expectPath = (tree: readonly string[], path: readonly string[]) => {
  expect(tree.filter((line) => path.includes(line))).toEqual(path)
}

async function collector(...options: Parameters<typeof startCollector>) {
  const started = await startCollector(...options)
  onTestFinished(started.close)
  return started
}

it.each(Object.keys(shapes) as Shape[])(
  'an order is one trace from the caller to MongoDB, and a batch of several orders is linked to all of them (%s)',
  async (shape) => {
    const { url, spans } = await collector()
    const shop = await deploy(shape, { OTEL_EXPORTER_OTLP_ENDPOINT: url, ...exportAtTheEnd })
    const { token } = await shop.customer()
    const { productId } = await shop.product(shop.adminToken, { stock: 100 })
    const order = (n: number) =>
      shop.order(token, [{ productId, quantity: 1 }], { traceparent: traceparentOf(n) })
    const alone = await order(0)
    const together = await Promise.all(Array.from({ length: orderCount }, (_, n) => order(n + 1)))
    expect([alone, ...together].map(({ status }) => status)).toEqual(Array(orderCount + 1).fill(201))
    expect(await shop.stop()).toBe(0)

    const first = treeOf(
      spans.filter(({ traceId }) => traceId === traceIdOf(0)),
      callerSpanId,
    )
    expectPath(first, shape === 'split' ? split : oneProcess)

    for (let n = 0; n <= orderCount; n++) {
      const trace = spans.filter(({ traceId }) => traceId === traceIdOf(n))
      // Every span of the trace is reached from the caller's.
      expect(treeOf(trace, callerSpanId)).toHaveLength(trace.length)
      expect(trace.map(({ name }) => name)).toContain('wait for the stock queue')
    }

    const batches = spans.filter(({ name }) => name === 'batch of the stock queue')
    expect(batches).not.toEqual([])
    for (const batch of batches) {
      expect(batch.links.length).toBeGreaterThan(1)
      for (const { traceId, spanId } of batch.links) {
        const wait = spans.find((span) => span.spanId === spanId)
        expect(wait).toMatchObject({ name: 'wait for the stock queue', traceId })
        expect(wait?.links.map((link) => link.spanId)).toContain(batch.spanId)
      }
      const within = spans.filter(({ parentSpanId }) => parentSpanId === batch.spanId)
      const transaction = within.find(({ name }) => name === 'stock.transaction')
      expect(transaction?.events).toEqual(expect.arrayContaining(['attempt', 'commit']))
    }

    const lines = shop
      .output()
      .split('\n')
      .filter((line) => line.includes('"route":"/orders"'))
    const traceIds = lines.map((line) => JSON.parse(line).traceId)
    expect(traceIds.toSorted()).toEqual(
      Array.from({ length: orderCount + 1 }, (_, n) => traceIdOf(n)).toSorted(),
    )
  },
)

it.each([
  ['is absent', () => ({ url: 'http://127.0.0.1:9' })],
  ['never answers', () => collector(() => {})],
] as const)(
  'a process whose collector %s answers requests, says so in few lines, and ends in time',
  async (_what, startReceiver) => {
    const { url } = await startReceiver()
    const shop = await deploy('one process', {
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url,
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_EXPORTER_OTLP_TIMEOUT: '500',
      OTEL_BSP_MAX_QUEUE_SIZE: '100',
      OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '50',
      DRAIN_TIMEOUT: '3s',
    })
    for (let n = 0; n < 300; n++) expect((await shop.get('/products')).status).toBe(200)
    const startedAtMs = performance.now()
    expect(await shop.stop()).toBe(0)
    expect(performance.now() - startedAtMs).toBeLessThan(3_500)
    const lines = shop
      .output()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    const reports = lines.filter(({ msg }) => /OpenTelemetry|traces/.test(msg))
    expect(reports.map(({ msg }) => msg)).toContain('could not export traces')
    expect(reports.length).toBeLessThan(10)
    expect(shop.output()).not.toContain('"stack"')
  },
)

it.each<[string, Record<string, string>, boolean]>([
  ['no variable of OpenTelemetry is set', {}, false],
  ['OTEL_SDK_DISABLED is true', { OTEL_SDK_DISABLED: 'true', OTEL_TRACES_EXPORTER: 'otlp' }, false],
  [
    'the exporter is none',
    { OTEL_TRACES_EXPORTER: 'none', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' },
    false,
  ],
  ['the exporter is otlp', { OTEL_TRACES_EXPORTER: 'otlp' }, true],
])(
  'the SDK of OpenTelemetry is loaded only where a variable asks for it: %s',
  async (_what, variables, isLoaded) => {
    const folder = await mkdtemp(join(tmpdir(), 'trivet-modules-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    // Node.js writes the name of each loaded module to this folder when the process ends.
    const shop = await deploy('one process', { NODE_V8_COVERAGE: folder, DRAIN_TIMEOUT: '2s', ...variables })
    expect(await shop.stop()).toBe(0)
    const [file = ''] = await readdir(folder)
    const { result } = JSON.parse(await readFile(join(folder, file), 'utf8'))
    const modules = result.map((script: { url: string }) => script.url) as string[]
    expect(modules.some((url) => url.endsWith('/src/host/serve.ts'))).toBe(true)
    const sdk = modules.filter((url) => /@opentelemetry\/(?!api\/)/.test(url))
    expect(sdk.length > 0).toBe(isLoaded)
  },
)
