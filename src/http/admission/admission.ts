import type { ServerResponse } from 'node:http'
import type { RouteConfig } from '@hono/zod-openapi'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { AnyModule } from '#kernel/module.ts'
import { queueMetrics } from '#kernel/queue-metrics.ts'
import { type Answering, type Bulkhead, type BulkheadLimits, createBulkhead } from './bulkhead.ts'
import { createOverloadedAnswer } from './overloaded-answer.ts'

export type AdmittedModule = Pick<AnyModule, 'name' | 'api' | 'alwaysAdmitted'>

export interface AdmissionOptions {
  /** Each of them gets a bulkhead. Without modules, every request is admitted. */
  modules?: readonly AdmittedModule[]
  bulkheadLimits?: BulkheadLimits
  /** The origins whose pages may read the refusals. */
  corsOrigins?: readonly string[]
  logger?: Logger
  metrics?: Metrics
}

const defaultLimits: BulkheadLimits = {
  inProgress: { targetMs: 300, min: 64, max: 512 },
  maxWaiting: 1_024,
  maxWaitMs: 10,
  maxBurstWaitMs: 500,
}

const inProgress = {
  name: 'trivet_admission_in_progress_requests',
  help: 'Requests of a module that are in progress, without those that are always admitted',
}
const limit = {
  name: 'trivet_admission_limit_requests',
  help: 'Requests of a module that may be in progress',
}

const alwaysAdmitted = ['healthz', 'readyz', 'metrics', 'internal']

/**
 * Admits as many requests of each module to the application as the process can answer in time. The others are answered at once with
 * 503 `overloaded`. Probes, preflights and calls of other services, which have admitted the request themselves, are always admitted,
 * and so are the routes that a module names.
 * @param start carries out a request, and returns when it is answered
 * @returns a function that starts a request now or soon, or refuses it, and returns when the request is answered
 */
export function createAdmission(start: Answering['start'], options: AdmissionOptions): Answering['start'] {
  const { modules, bulkheadLimits = defaultLimits, corsOrigins = [], logger, metrics } = options
  if (!modules) return start
  const answerOverloaded = createOverloadedAnswer({ corsOrigins, logger, metrics })
  const create = (name: string) => {
    const refuse = (response: ServerResponse) => answerOverloaded(response, name)
    const queue = metrics && queueMetrics(metrics, `admission.${name}`)
    const bulkhead = createBulkhead(bulkheadLimits, { start, refuse }, queue)
    metrics?.gauge(inProgress, bulkhead.inProgress, { module: name })
    metrics?.gauge(limit, bulkhead.limit, { module: name })
    return bulkhead
  }
  const others = create('other')
  const bySegment = new Map<string, Bulkhead | undefined>()
  for (const { name, api } of modules) {
    const bulkhead = create(name)
    // Two modules have no path with the same first segment.
    for (const { path } of Object.values(api)) bySegment.set(firstSegment(path), bulkhead)
  }
  for (const segment of alwaysAdmitted) bySegment.set(segment, undefined)
  const isAlwaysAdmitted = matcherOf(modules.flatMap((module) => module.alwaysAdmitted ?? []))

  return (request, response) => {
    const { method = '', url = '' } = request
    const path = routedPath(url)
    // A refused preflight would hide the refusal of the request itself from the page.
    if (method === 'OPTIONS' || isAlwaysAdmitted(method, path)) return start(request, response)
    const segment = firstSegment(path)
    const bulkhead = bySegment.has(segment) ? bySegment.get(segment) : others
    return bulkhead ? bulkhead.enter(response) : start(request, response)
  }
}

/** Returns the path by which the router finds the route: decoded, and without dot segments and the query. */
function routedPath(url: string): string {
  const query = url.indexOf('?')
  const path = query < 0 ? url : url.slice(0, query)
  if (!/%|\/\./.test(path)) return path
  const { pathname } = new URL(`http://localhost${path}`)
  try {
    return decodeURI(pathname)
  } catch {
    return pathname
  }
}

/** Returns `orders` of `/orders/1`. */
function firstSegment(path: string): string {
  const end = path.indexOf('/', 1)
  return end < 0 ? path.slice(1) : path.slice(1, end)
}

/** Returns a function that says whether a request belongs to one of the routes. */
function matcherOf(routes: readonly RouteConfig[]): (method: string, path: string) => boolean {
  const byMethod = Map.groupBy(routes, ({ method }) => method.toUpperCase())
  const patterns = new Map<string, RegExp>()
  for (const [method, each] of byMethod) {
    const alternatives = each.map(({ path }) => path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+'))
    // The router ignores a slash at the end.
    patterns.set(method, new RegExp(`^(?:${alternatives.join('|')})/?$`))
  }
  return (method, path) => patterns.get(method)?.test(path) ?? false
}
