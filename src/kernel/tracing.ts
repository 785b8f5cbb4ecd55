import type { Call } from './call.ts'
import type { Span, SpanOptions } from './span.ts'

/** The same call within a span: its further work belongs to the span. */
export const callWithin = (call: Call, span: Span): Call => ({
  ...call,
  span,
  traceparent: span.traceparent,
})

/** Does work of a call within a span of its own, if the call is traced. */
export function inSpan<T>(
  call: Call,
  name: string,
  options: SpanOptions,
  work: (call: Call) => Promise<T>,
): Promise<T> {
  const span = call.span?.start(name, options)
  return span ? ended(span, work(callWithin(call, span))) : work(call)
}

/** Ends a span together with its work. */
export async function ended<T>(span: Span, work: Promise<T>): Promise<T> {
  try {
    const result = await work
    span.end()
    return result
  } catch (error) {
    span.end(error)
    throw error
  }
}
