import type { Logger } from '#kernel/logger.ts'
import type { ExportedTracing } from '#kernel/span.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Starts tracing if OpenTelemetry's environment variables ask for it. Otherwise nothing of OpenTelemetry is loaded.
 * @param service the name of this process: its modules, `all` or `gateway`
 */
export async function startTracing(
  env: Environment,
  service: string,
  logger: Logger,
): Promise<ExportedTracing | undefined> {
  if (!asksForTraces(env, logger)) return undefined
  const { createOtlpTracing } = await import('./otlp-tracing.ts')
  return createOtlpTracing(env, service, logger)
}

/** Traces are exported if an endpoint or the exporter `otlp` is set, and tracing is not switched off. */
function asksForTraces(env: Environment, logger: Logger): boolean {
  const settingOf = (variable: string) => env[variable]?.trim() ?? ''
  if (settingOf('OTEL_SDK_DISABLED').toLowerCase() === 'true') return false
  const exporter = settingOf('OTEL_TRACES_EXPORTER')
  const endpoint = settingOf('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') || settingOf('OTEL_EXPORTER_OTLP_ENDPOINT')
  if (exporter === '') return endpoint !== ''
  if (exporter !== 'otlp' && exporter !== 'none') {
    const message = `traces cannot be exported with ${exporter}, but only with otlp`
    logger.warn({ variable: 'OTEL_TRACES_EXPORTER' }, message)
  }
  return exporter === 'otlp'
}
