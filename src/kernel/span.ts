export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>

export interface SpanOptions {
  /** `server` answers another process, and `client` waits for one. The default is `internal`. */
  kind?: 'server' | 'client' | 'internal'
  /** The `traceparent` of the parent in another process. The default is the span that is asked. */
  parent?: string | undefined
  /** Spans that the new span works for too. */
  links?: readonly Span[]
  attributes?: SpanAttributes
}

/** A piece of work in a trace, from the creation of this object until `end`. A span that never ends is not exported. */
export interface Span extends Tracing {
  /** The W3C Trace Context of this span, for what it calls. */
  readonly traceparent: string
  /** Adds attributes, by the names of OpenTelemetry's semantic conventions where there is one. */
  set(attributes: SpanAttributes): void
  rename(name: string): void
  /** Notes that something happened now. */
  event(name: string): void
  link(span: Span): void
  /** @param error what the work failed with */
  end(error?: unknown): void
}

/** Starts spans. It exists only while tracing is on (see src/host/tracing.ts). */
export interface Tracing {
  start(name: string, options?: SpanOptions): Span
}

/** Tracing to a collector. */
export interface ExportedTracing extends Tracing {
  /** Exports the spans that have ended, for at most `timeoutMs`, and stops. */
  close(timeoutMs: number): Promise<void>
}
