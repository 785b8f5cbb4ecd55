import type { Context } from 'hono'
import type { ContentfulStatusCode, StatusCode } from 'hono/utils/http-status'
import type { AppEnv } from './app-env.ts'

/**
 * Makes an answer with the header fields of all answers (see `requestContext`) and with `headers`, by lower-case names. All of them
 * are set at once, because adding them to a `Headers` object one by one takes longer than the rest of the answer.
 */
export function respond(
  c: Context<AppEnv>,
  body: string | Uint8Array<ArrayBuffer> | null,
  status: StatusCode,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const all = { ...c.get('headers'), ...headers }
  // Hono removes the body from an answer to HEAD, so that the length of the answer to GET must be set here.
  if (c.req.method === 'HEAD' && body !== null) all['content-length'] = String(Buffer.byteLength(body))
  const response = new Response(body, { status, headers: all })
  c.set('response', response)
  return response
}

/** Like `c.json`, with the return type that the route description requires. It ignores headers that were set by `c.header`. */
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
