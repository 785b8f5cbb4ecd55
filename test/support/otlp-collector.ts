import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import type { Json } from './client.ts'

/** A span as it was exported. */
export interface ExportedSpan {
  service: string
  name: string
  traceId: string
  spanId: string
  /** Empty if the span has no parent. */
  parentSpanId: string
  /** 1 internal, 2 server, 3 client. */
  kind: number
  attributes: Readonly<Record<string, unknown>>
  links: readonly { traceId: string; spanId: string }[]
  events: readonly string[]
  /** 2 for a failure. */
  status: number
}

/** Receives traces over OTLP/HTTP as JSON. */
export async function startCollector(answer: RequestListener = (_request, response) => response.end('{}')) {
  const spans: ExportedSpan[] = []
  const server = createServer(async (request, response) => {
    const { resourceSpans } = (await json(request)) as Json
    spans.push(...resourceSpans.flatMap(spansOf))
    answer(request, response)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    async close() {
      server.closeAllConnections()
      await new Promise((closed) => server.close(closed))
    },
  }
}

const spansOf = ({ resource, scopeSpans }: Json): ExportedSpan[] =>
  scopeSpans
    .flatMap((scope: Json) => scope.spans)
    .map(
      ({
        name,
        traceId,
        spanId,
        parentSpanId = '',
        kind,
        attributes,
        links = [],
        events = [],
        status,
      }: Json) => ({
        service: attributesOf(resource.attributes)['service.name'],
        name,
        traceId,
        spanId,
        parentSpanId,
        kind,
        attributes: attributesOf(attributes),
        links,
        events: events.map((event: Json) => event.name),
        status: status.code ?? 0,
      }),
    )

const attributesOf = (attributes: Json[] = []): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
