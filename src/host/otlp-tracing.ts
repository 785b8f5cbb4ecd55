import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Attributes,
  DiagLogLevel,
  diag,
  ROOT_CONTEXT,
  type Span as SdkSpan,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { setGlobalErrorHandler } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { excerpt, isDomainError, messageOf } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { ExportedTracing, Span, SpanOptions } from '#kernel/span.ts'
import { batchOptionsOf, type Environment, samplerOf } from './otlp-settings.ts'

/** Only src/host/tracing.ts loads this file, and only if the environment asks for traces. */

// A batch has a link to each of its requests, and a request between services carries up to 1,000 calls.
const maxLinks = 1_000
const maxAttributeLength = 1_000

/**
 * Traces to a collector over OTLP/HTTP, as JSON. The exporter itself reads OTEL_EXPORTER_OTLP_*. The number of spans that wait
 * for the collector is bounded, and further spans are dropped.
 */
export function createOtlpTracing(env: Environment, service: string, logger: Logger): ExportedTracing {
  reportFaults(logger)
  const processor = new BatchSpanProcessor({ exporter: new OTLPTraceExporter(), ...batchOptionsOf(env) })
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': `trivet-${service}` }).merge(
      detectResources({ detectors: [envDetector] }),
    ),
    sampler: samplerOf(env, logger),
    spanLimits: { linkCountLimit: maxLinks, attributeValueLengthLimit: maxAttributeLength },
    spanProcessors: [processor],
  })
  const tracer = provider.getTracer('trivet')

  const start = (name: string, options: SpanOptions, within?: SdkSpan): Span => {
    const { kind = 'internal', parent, links = [], attributes } = options
    const context =
      parent === undefined
        ? within && trace.setSpan(ROOT_CONTEXT, within)
        : trace.setSpanContext(ROOT_CONTEXT, { ...contextOf(parent), isRemote: true })
    const span = tracer.startSpan(
      name,
      {
        kind: kinds[kind],
        links: links.map(({ traceparent }) => ({ context: contextOf(traceparent) })),
        ...(attributes && { attributes: attributes as Attributes }),
      },
      context ?? ROOT_CONTEXT,
    )
    return wrap(span)
  }

  const wrap = (span: SdkSpan): Span => ({
    traceparent: traceparentOf(span.spanContext()),
    start: (name, options = {}) => start(name, options, span),
    set: (attributes) => void span.setAttributes(attributes as Attributes),
    rename: (name) => void span.updateName(name),
    event: (name) => void span.addEvent(name),
    link: ({ traceparent }) => void span.addLink({ context: contextOf(traceparent) }),
    end(error) {
      if (error !== undefined) recordError(span, error)
      span.end()
    },
  })

  return {
    start: (name, options = {}) => start(name, options),
    async close(timeoutMs) {
      await Promise.race([provider.shutdown().catch(reportTo(logger)), sleep(timeoutMs)])
    },
  }
}

/** Logs what the exporter and the SDK report, such as a collector that does not answer, and spans that were dropped. */
function reportFaults(logger: Logger): void {
  setGlobalErrorHandler(reportTo(logger))
  const warn = (reason: string) =>
    logger.repeatable('OpenTelemetry', 'warn', { reason }, 'OpenTelemetry reports a fault')
  const ignore = () => undefined
  const levels = { error: warn, warn, info: ignore, debug: ignore, verbose: ignore }
  diag.setLogger(levels, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
}

/** A collector that is away is no defect of this program, so that its errors have no stack. */
const reportTo =
  (logger: Logger) =>
  (error: unknown): void => {
    const reason = messageOf(error)
    logger.repeatable('export of traces', 'warn', { reason }, 'could not export traces')
  }

const kinds = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER, client: SpanKind.CLIENT }

// W3C Trace Context: version, trace id, parent id, flags.
const traceparentOf = ({ traceId, spanId, traceFlags }: SpanContext): string =>
  `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`

const contextOf = (traceparent: string): SpanContext => ({
  traceId: traceparent.slice(3, 35),
  spanId: traceparent.slice(36, 52),
  traceFlags: Number.parseInt(traceparent.slice(53), 16),
})

function recordError(span: SdkSpan, error: unknown): void {
  const message = excerpt(messageOf(error), maxAttributeLength)
  const type = isDomainError(error) ? error.code : error instanceof Error ? error.name : 'error'
  span.setAttribute('error.type', type)
  span.setStatus({ code: SpanStatusCode.ERROR, message })
}
