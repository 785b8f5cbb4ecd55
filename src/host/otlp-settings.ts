import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  type BatchSpanProcessorOptions,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace'
import type { Logger } from '#kernel/logger.ts'

export type Environment = Readonly<Record<string, string | undefined>>

const numberOf = (text: string | undefined): number | undefined => {
  const number = Number(text?.trim() || Number.NaN)
  return number >= 0 ? number : undefined
}

/** OTEL_BSP_*: the settings of the spans that wait for the collector. A value that is not valid counts as unset. */
export function batchOptionsOf(env: Environment): Omit<BatchSpanProcessorOptions, 'exporter'> {
  const options = {
    scheduledDelayMillis: numberOf(env.OTEL_BSP_SCHEDULE_DELAY),
    exportTimeoutMillis: numberOf(env.OTEL_BSP_EXPORT_TIMEOUT),
    maxQueueSize: numberOf(env.OTEL_BSP_MAX_QUEUE_SIZE),
    maxExportBatchSize: numberOf(env.OTEL_BSP_MAX_EXPORT_BATCH_SIZE),
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

const rootSamplers: Readonly<Record<string, (ratio: number) => Sampler>> = {
  always_on: () => new AlwaysOnSampler(),
  always_off: () => new AlwaysOffSampler(),
  traceidratio: (ratio) => new TraceIdRatioBasedSampler(ratio),
}
const ofParent = 'parentbased_'

/** OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG. The default is `parentbased_always_on`. */
export function samplerOf(env: Environment, logger: Logger): Sampler {
  const name = env.OTEL_TRACES_SAMPLER?.trim() || 'parentbased_always_on'
  const root = rootSamplers[name.replace(ofParent, '')]
  if (!root) {
    logger.warn(
      { variable: 'OTEL_TRACES_SAMPLER' },
      `no sampler has the name ${name}: all traces are exported`,
    )
    return new ParentBasedSampler({ root: new AlwaysOnSampler() })
  }
  const sampler = root(Math.min(numberOf(env.OTEL_TRACES_SAMPLER_ARG) ?? 1, 1))
  return name.startsWith(ofParent) ? new ParentBasedSampler({ root: sampler }) : sampler
}
