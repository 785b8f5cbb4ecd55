import { expect, it, onTestFinished, vi } from 'vitest'
import { startCollector } from '#test/support/otlp-collector.ts'
import { recordLog } from '#test/support/recorded-log.ts'
import { startTracing } from './tracing.ts'

/** Starts tracing to a collector with these variables of OpenTelemetry. */
async function traced(variables: Record<string, string>) {
  const collector = await startCollector()
  onTestFinished(collector.close)
  const all = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...variables }
  for (const [name, value] of Object.entries(all)) vi.stubEnv(name, value)
  onTestFinished(() => void vi.unstubAllEnvs())
  const { logger, lines } = await recordLog()
  const tracing = await startTracing(process.env, 'order', logger)
  if (!tracing) throw new Error('tracing is off')
  return { tracing, spans: collector.spans, lines }
}

const rootCount = 200
const traceparentOf = (n: number, flags: string) =>
  `00-${`${n}`.padStart(32, 'a')}-${'b'.repeat(16)}-${flags}`

it.each<[Record<string, string>, { roots: [number, number]; sampled: number; unsampled: number }]>([
  [{}, { roots: [rootCount, rootCount], sampled: 1, unsampled: 0 }],
  [{ OTEL_TRACES_SAMPLER: 'always_on' }, { roots: [rootCount, rootCount], sampled: 1, unsampled: 1 }],
  [{ OTEL_TRACES_SAMPLER: 'always_off' }, { roots: [0, 0], sampled: 0, unsampled: 0 }],
  [{ OTEL_TRACES_SAMPLER: 'parentbased_always_off' }, { roots: [0, 0], sampled: 1, unsampled: 0 }],
  [
    { OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.5' },
    { roots: [rootCount * 0.25, rootCount * 0.75], sampled: 1, unsampled: 0 },
  ],
])('the sampler of %o decides which traces are exported', async (variables, expected) => {
  const { tracing, spans } = await traced(variables)
  for (let n = 0; n < rootCount; n++) tracing.start('root').end()
  tracing.start('sampled', { parent: traceparentOf(1, '01') }).end()
  tracing.start('unsampled', { parent: traceparentOf(2, '00') }).end()
  await tracing.close(5_000)
  const countOf = (name: string) => spans.filter((span) => span.name === name).length
  expect(countOf('root')).toBeGreaterThanOrEqual(expected.roots[0])
  expect(countOf('root')).toBeLessThanOrEqual(expected.roots[1])
  expect([countOf('sampled'), countOf('unsampled')]).toEqual([expected.sampled, expected.unsampled])
})

it('an unknown sampler is logged, and every trace is exported', async () => {
  const { tracing, spans, lines } = await traced({ OTEL_TRACES_SAMPLER: 'sometimes' })
  tracing.start('root').end()
  await tracing.close(5_000)
  expect(spans).toHaveLength(1)
  expect(lines).toMatchObject([
    { level: 40, variable: 'OTEL_TRACES_SAMPLER', msg: expect.stringContaining('sometimes') },
  ])
})

it('a span has its parent, kind, attributes, events and links, and the failure that ended it', async () => {
  const { tracing, spans } = await traced({ OTEL_SERVICE_NAME: 'shop' })
  const other = tracing.start('other')
  const root = tracing.start('root', { kind: 'server', parent: traceparentOf(1, '01') })
  const child = root.start('child', {
    kind: 'client',
    links: [other],
    attributes: { 'db.namespace': 'orders' },
  })
  child.event('commit')
  child.end(new RangeError('too far'))
  root.end()
  other.end()
  await tracing.close(5_000)
  const [exportedChild, exportedRoot] = spans
  expect(exportedRoot).toMatchObject({ name: 'root', kind: 2, parentSpanId: 'b'.repeat(16), status: 0 })
  expect(exportedChild).toMatchObject({
    service: 'shop',
    name: 'child',
    traceId: exportedRoot?.traceId,
    parentSpanId: exportedRoot?.spanId,
    kind: 3,
    attributes: { 'db.namespace': 'orders', 'error.type': 'RangeError' },
    events: ['commit'],
    status: 2,
  })
  expect(`00-${exportedChild?.links[0]?.traceId}-${exportedChild?.links[0]?.spanId}-01`).toBe(
    other.traceparent,
  )
})
