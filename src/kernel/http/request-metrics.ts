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
 * Counts the requests that are refused before the application, since too many arrive. They have one series, under the route
 * `overloaded`, and are failures of the shop like any other 5xx.
 */
export function createOverloadedCount(metrics: Metrics): () => void {
  const histogram = metrics.histogram(duration, { method: 'none', route: 'overloaded', status: '5xx' })
  return () => histogram.observe(0)
}

/**
 * Counts and times answers by method, route template and class of the status. All requests without a route have one series for
 * each class, because a client chooses their method and path. HEAD counts as GET, which has its route.
 */
export function createRequestMetrics(metrics: Metrics): (c: Context<AppEnv>, answered: Answered) => void {
  // A joined key would be a new string for each request, and looking it up takes longer than all the rest.
  const routes = new Map<string, Map<string, Histogram[]>>()
  const histogramsOf = (route: string, method: string): Histogram[] => {
    const methods = routes.get(route) ?? new Map<string, Histogram[]>()
    const histograms = methods.get(method) ?? []
    routes.set(route, methods.set(method, histograms))
    return histograms
  }

  return (c, { status, route: template, durationMs }) => {
    const route = template ?? 'none'
    const method = template === undefined ? 'none' : c.req.method === 'HEAD' ? 'GET' : c.req.method
    const byClass = routes.get(route)?.get(method) ?? histogramsOf(route, method)
    const statusClass = Math.floor(status / 100)
    byClass[statusClass] ??= metrics.histogram(duration, { method, route, status: `${statusClass}xx` })
    byClass[statusClass].observe(durationMs / 1_000)
  }
}
