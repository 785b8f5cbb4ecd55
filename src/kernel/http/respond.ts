import type { Context } from 'hono'
import type { ContentfulStatusCode, StatusCode } from 'hono/utils/http-status'
import type { AppEnv } from './router.ts'

/**
 * An answer with what every answer carries (`requestContext`), and `headers`, by lower-case names. Made in one piece:
 * a `Headers` object that is filled one by one costs more than the rest of the answer.
 */
export function respond(
  c: Context<AppEnv>,
  body: string | null,
  status: StatusCode,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const all = { ...c.get('headers'), ...headers }
  // Hono leaves the body out of an answer to HEAD, and with it the length that it would have to GET.
  if (c.req.method === 'HEAD' && body !== null) all['content-length'] = String(Buffer.byteLength(body))
  const response = new Response(body, { status, headers: all })
  c.set('response', response)
  return response
}

/** As `c.json`, of the type that the route's description asks for. Headers that were set by `c.header` are not in it. */
export const respondJson = <Body, Status extends ContentfulStatusCode>(
  c: Context<AppEnv>,
  body: Body,
  status: Status,
  headers: Readonly<Record<string, string>> = {},
) =>
  respond(c, JSON.stringify(body), status, {
    'content-type': 'application/json',
    ...headers,
  }) as unknown as ReturnType<typeof c.json<Body, Status>>
