import { createRoute, z } from '@hono/zod-openapi'
import { DomainError } from '#kernel/errors.ts'
import { json } from '#kernel/http/openapi.ts'
import { problemResponse } from '#kernel/http/problem-documents.ts'
import { errorsOf } from '#kernel/http/problem-responses.ts'
import { respondJson } from '#kernel/http/respond.ts'
import { createRouter } from '#kernel/http/router.ts'

/** The reasons why the process must not receive traffic. */
export interface Missing {
  /** The names of what is missing. Empty if the process may receive traffic. */
  missing: readonly string[]
  /** What the operator should do, if that is known. */
  reason?: string
}

export interface Readiness {
  /** Whether the process has started: it is connected to its database, and the migrations are applied. */
  started(): Missing | Promise<Missing>
  /** Whether the process may receive traffic now, and which databases and services do not answer at the moment. */
  ready(): Promise<Missing & { unavailable: readonly string[] }>
}

const errors = errorsOf({})
const tags = ['Operations']
const liveness = z.object({ status: z.string() }).openapi('Liveness')
const readiness = z
  .object({
    status: z.string(),
    unavailable: z.array(z.string()).optional().openapi({
      description:
        'The databases and the services that do not answer at the moment: a database for less than 30 s, as during an election of MongoDB, and a service, by its name, however long. The field is absent if all of them answer.',
    }),
  })
  .openapi('Readiness')

const missing = {
  members: { missing: z.array(z.string()).optional().openapi({ description: 'What the process lacks.' }) },
  example: { missing: ['database of auth'] },
}

export const healthApi = {
  checkLiveness: createRoute({
    method: 'get',
    path: '/healthz',
    tags,
    summary: 'Check liveness',
    responses: {
      200: { description: 'The process is alive.', content: json(liveness, { status: 'alive' }) },
      ...errors(),
    },
  }),
  checkReadiness: createRoute({
    method: 'get',
    path: '/readyz',
    tags,
    summary: 'Check readiness',
    description:
      'The process is ready if it has started, has applied its migrations, and is not draining. It does not depend on other services: `unavailable` names those that do not answer. While a database does not answer, the process stays ready for 30 s, and `unavailable` names the database too. If the answer is 503, `missing` lists what the process lacks. A database is missing after 30 s without an answer, or at once if the server cannot be used.',
    responses: {
      200: { description: 'The process may receive traffic.', content: json(readiness, { status: 'ready' }) },
      ...errorsOf({}, 'Readiness', { dependency_unavailable: missing })(),
    },
  }),
}

export function healthRoutes(readiness: Readiness) {
  const router = createRouter()

  // These routes are not added with `openapi`, because it refuses unknown query parameters, and a monitor may add its
  // own.
  router.get(healthApi.checkLiveness.path, (c) => {
    c.set('probe', true)
    return respondJson(c, { status: 'alive' }, 200)
  })

  router.get(healthApi.checkReadiness.path, async (c) => {
    c.set('probe', true)
    const { missing, reason, unavailable } = await readiness.ready()
    if (missing.length === 0) {
      return respondJson(c, { status: 'ready', ...(unavailable.length > 0 && { unavailable }) }, 200)
    }
    const message = [`not ready: ${missing.join(', ')}`, ...(reason ? [reason] : [])].join('; ')
    const error = new DomainError('dependency_unavailable', message, { missing })
    return problemResponse(c, error)
  })

  return router
}
