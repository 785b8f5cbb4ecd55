import { readdirSync, readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Metrics } from '#kernel/metrics.ts'

// The interval of the timer whose delay is measured.
const resolutionMs = 20
const percentiles = [50, 90, 99, 100]

/**
 * Adds the metrics of the process itself: processor time, memory, descriptors, and how busy its event loop is. prom-client's own
 * collectors are not used, because they also observe each garbage collection, and set up the event loop's delay twice.
 */
export function addProcessMetrics(metrics: Metrics): void {
  const memory = (part: keyof NodeJS.MemoryUsage) => () => process.memoryUsage()[part]
  metrics.total(
    { name: 'process_cpu_seconds_total', help: 'Processor time of all threads, in user and system mode' },
    () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    },
  )
  metrics.gauge(
    { name: 'process_start_time_seconds', help: 'Start of the process, as Unix time' },
    () => performance.timeOrigin / 1_000,
  )
  metrics.gauge(
    { name: 'process_resident_memory_bytes', help: 'Memory of the process that is in RAM' },
    process.memoryUsage.rss,
  )
  metrics.gauge(
    { name: 'nodejs_heap_size_used_bytes', help: 'Used memory of the JavaScript heap' },
    memory('heapUsed'),
  )
  metrics.gauge(
    {
      name: 'nodejs_external_memory_bytes',
      help: 'Memory of buffers and other objects outside the JavaScript heap',
    },
    memory('external'),
  )
  addDescriptors(metrics)
  addEventLoop(metrics)
}

/** Adds the open descriptors and their limit, on systems that have `/proc`. */
function addDescriptors(metrics: Metrics): void {
  if (process.platform !== 'linux') return
  const [, limit] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  if (limit !== undefined) {
    metrics.gauge({ name: 'process_max_fds', help: 'Limit of open file descriptors' }, () => Number(limit))
  }
  metrics.gauge(
    { name: 'process_open_fds', help: 'Open file descriptors' },
    // Reading the directory opens one more descriptor.
    () => readdirSync('/proc/self/fd').length - 1,
  )
}

function addEventLoop(metrics: Metrics): void {
  metrics.total(
    {
      name: 'nodejs_event_loop_active_seconds_total',
      help: 'Time in which the event loop was not idle; its rate is the utilisation of the event loop',
    },
    () => performance.eventLoopUtilization().active / 1_000,
  )
  const delay = monitorEventLoopDelay({ resolution: resolutionMs })
  delay.enable()
  // Each scrape begins a new period. It asks for the percentiles in this order, so that the last one resets.
  for (const percentile of percentiles) {
    metrics.gauge(
      {
        name: 'nodejs_event_loop_delay_seconds',
        help: 'Delay of a timer since the previous scrape, by percentile',
      },
      () => {
        // The histogram contains the whole time from one call of the timer to the next.
        const delayMs = Math.max(0, delay.percentile(percentile) / 1e6 - resolutionMs)
        if (percentile === percentiles.at(-1)) delay.reset()
        return delayMs / 1_000
      },
      { percentile: String(percentile) },
    )
  }
}
