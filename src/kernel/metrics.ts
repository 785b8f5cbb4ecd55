import { type Metric, Registry } from 'prom-client'

/** What a metric measures. Its name ends with its unit, and that of a counter with `_total`. */
export interface Definition {
  name: string
  /** A sentence without a full stop, for the reader of a dashboard. */
  help: string
}

export interface HistogramDefinition extends Definition {
  /** The upper bounds of the buckets, in ascending order, in the unit of the metric. At most eight. */
  buckets: readonly number[]
}

/** The labels of one series. Each value must come from a short list: every new value is another series in each scrape. */
export type Labels = Readonly<Record<string, string>>

/** A number that only grows. */
export interface Counter {
  add(count?: number): void
}

/** A distribution of values. */
export interface Histogram {
  observe(value: number): void
}

/**
 * The metrics of one process. A series exists from the call that creates it, so that it starts with 0 and not with its first
 * event. A repeated call returns the same series. Series are created at the start, and not for each event.
 */
export interface Metrics {
  counter(definition: Definition, labels?: Labels): Counter
  histogram(definition: HistogramDefinition, labels?: Labels): Histogram
  /** A value that `read` returns at each scrape. The values of several gauges with the same labels are added up. */
  gauge(definition: Definition, read: () => number, labels?: Labels): void
  /** A counter that something else keeps, and that `read` returns at each scrape. */
  total(definition: Definition, read: () => number, labels?: Labels): void
  /** Returns all series in Prometheus' text format, and its media type. */
  scrape(): Promise<{ text: string; contentType: string }>
}

type Type = 'counter' | 'gauge' | 'histogram'
interface Sample {
  metricName?: string
  labels: Record<string, string | number>
  value: number
}
interface Series {
  samples(): Sample[]
}

/**
 * Creates the metrics of a process. prom-client writes the text. The values are kept here, because prom-client checks and joins
 * the labels again for each value: an observation takes it 1 to 2 µs, which is 1 % of a read by id.
 */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const families = new Map<string, { type: Type; series: Map<string, Series> }>()

  const familyOf = (type: Type, { name, help }: Definition) => {
    let family = families.get(name)
    if (!family) {
      const series = new Map<string, Series>()
      family = { type, series }
      families.set(name, family)
      const get = async () => ({
        name,
        help,
        type,
        values: [...series.values()].flatMap((one) => one.samples()),
      })
      // The registry uses only the name and this function of a metric.
      registry.registerMetric({ name, get } as unknown as Metric)
    }
    if (family.type !== type) throw new Error(`the metric ${name} is a ${family.type}, and not a ${type}`)
    return family
  }

  const seriesOf = <S extends Series>(
    type: Type,
    definition: Definition,
    labels: Labels,
    create: () => S,
  ): S => {
    const { series } = familyOf(type, definition)
    const key = JSON.stringify(labels)
    const known = series.get(key)
    if (known) return known as S
    const created = create()
    series.set(key, created)
    return created
  }

  return {
    counter: (definition, labels = {}) =>
      seriesOf('counter', definition, labels, () => createCounter(labels)),
    histogram: (definition, labels = {}) =>
      seriesOf('histogram', definition, labels, () => createHistogram(definition, labels)),
    gauge: (definition, read, labels = {}) =>
      seriesOf('gauge', definition, labels, () => createSum(labels)).reads.push(read),
    total: (definition, read, labels = {}) =>
      seriesOf('counter', definition, labels, () => createSum(labels)).reads.push(read),
    scrape: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
  }
}

function createCounter(labels: Labels): Counter & Series {
  let value = 0
  return {
    add(count = 1) {
      value += count
    },
    samples: () => [{ labels, value }],
  }
}

function createSum(labels: Labels): { reads: (() => number)[] } & Series {
  const reads: (() => number)[] = []
  return { reads, samples: () => [{ labels, value: reads.reduce((sum, read) => sum + read(), 0) }] }
}

function createHistogram({ name, buckets }: HistogramDefinition, labels: Labels): Histogram & Series {
  const counts = new Float64Array(buckets.length + 1)
  let sum = 0
  return {
    observe(value) {
      let at = 0
      while (at < buckets.length && value > (buckets[at] as number)) at++
      counts[at] = (counts[at] as number) + 1
      sum += value
    },
    samples() {
      let count = 0
      const cumulated = [...buckets, '+Inf'].map((le, at) => {
        count += counts[at] as number
        return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count }
      })
      return [
        ...cumulated,
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: count },
      ]
    },
  }
}
