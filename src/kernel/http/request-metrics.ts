import type { Context } from 'hono'
import type { Histogram, Metrics } from '#kernel/metrics.ts'
import type { AppEnv } from './app-env.ts'
import type { Answered } from './request-log.ts'

const duration = {
  name: 'trivet_http_request_duration_seconds',
  help: 'Time from the head of a request to its answer',
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
}

/**
 * Counts and times answers by method, route template and class of the status. All requests without a route have one series for
 * each class, because a client chooses their method and path. HEAD counts as GET, which has its route.
 */
export function createRequestMetrics(metrics: Metrics): (c: Context<AppEnv>, answered: Answered) => void {
  const byKey = new Map<string, Histogram>()

  return (c, { status, route: template, durationMs }) => {
    const route = template ?? 'none'
    const method = template === undefined ? 'none' : c.req.method === 'HEAD' ? 'GET' : c.req.method
    const statusClass = Math.floor(status / 100)
    const key = `${statusClass} ${method} ${route}`
    let histogram = byKey.get(key)
    if (!histogram) {
      histogram = metrics.histogram(duration, { method, route, status: `${statusClass}xx` })
      byKey.set(key, histogram)
    }
    histogram.observe(durationMs / 1_000)
  }
}
