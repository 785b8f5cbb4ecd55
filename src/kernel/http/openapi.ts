import { z } from '@hono/zod-openapi'

/** The parts that the route descriptions have in common. */

/** The problems of a missing, wrong or expired access token. */
export const signedIn = ['unauthenticated', 'invalid_token', 'token_expired'] as const
/** The problems of an unreadable body. */
export const withBody = [
  'validation_failed',
  'malformed_json',
  'body_too_large',
  'unsupported_media_type',
] as const

export const json = <Schema extends z.ZodType>(schema: Schema, example?: NoInfer<z.input<Schema>>) => ({
  'application/json': { schema, ...(example !== undefined && { example }) },
})

export const body = <Schema extends z.ZodType>(schema: Schema, example?: NoInfer<z.input<Schema>>) => ({
  required: true,
  content: json(schema, example),
})

/** The body of a PATCH, which may also be a merge patch (RFC 7396). */
export const patchBody: typeof body = (schema, example) => {
  const { 'application/json': media } = json(schema, example)
  const content = { 'application/json': media, 'application/merge-patch+json': media }
  return { required: true, content }
}

/** A response header that every answer of its status has. */
const header = (description: string, pattern?: string) => ({
  description,
  required: true,
  schema: { type: 'string' as const, ...(pattern !== undefined && { pattern }) },
})

export const etagHeader = {
  ETag: header(
    'A product or an order has its version as a strong entity tag, such as `"3"`. Any other answer has a weak entity tag of its content, such as `W/"q3Zk"`.',
    '^(W/)?"[\\w-]+"$',
  ),
}
/** The headers of a read whose answer `respondWith` may compress. */
export const compressibleHeaders = {
  ...etagHeader,
  Vary: header(
    'The request headers that the answer depends on: `Accept-Encoding`, and `Accept` if it selects JSON or HTML. `Origin` is also among them if the server allows pages of other origins.',
  ),
}
export const locationHeader = { Location: header('The path of the created resource.') }
export const replayedHeader = {
  'Idempotent-Replayed': {
    description:
      '`true` if the answer repeats the one to an earlier request with the same `Idempotency-Key`. Otherwise absent.',
    schema: { type: 'string' as const, enum: ['true'] },
  },
}

/** `security` of a route that needs an access token. */
export const bearer = [{ accessToken: [] }]
/** `security` of a route that needs the access token of an admin. OpenAPI 3.1 has the role here. */
export const adminBearer = [{ accessToken: ['admin'] }]

export const page = <Schema extends z.ZodType>(name: string, item: Schema) =>
  z
    .object({
      data: z.array(item),
      nextCursor: z.string().nullable().openapi({
        description:
          'The cursor of the next page. Null on the last page. A page may have fewer entries than `limit` although it is not the last one.',
      }),
    })
    .openapi(name)
