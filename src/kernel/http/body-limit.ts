import type { MiddlewareHandler } from 'hono'
import { DomainError } from '#kernel/errors.ts'
import type { AppEnv } from './app-env.ts'

/** Bytes that a request's body may have. */
export const bodyBound = 1024 * 1024

// A client that is still sending does not read the answer: this much more is taken in and thrown away before it.
const discarded = 16 * 1024 * 1024

/**
 * Refuses bodies of more than `most` bytes, announced or not, with `body_too_large`.
 *
 * Hono's own limit answers at once and leaves the rest of the body in the socket, where it costs the client its
 * connection, and often the answer.
 */
export function bodyLimit(most: number): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    // Looking at `body` makes node-server build the stream: not for requests that have none or say how long it is.
    if (c.req.method === 'GET' || c.req.method === 'HEAD') return next()
    if (Number(c.req.header('Content-Length') ?? Number.NaN) <= most) return next()
    const { body } = c.req.raw
    if (!body) return next()

    const chunks: Uint8Array[] = []
    let size = 0
    const reader = body.getReader()
    for (;;) {
      const { done, value } = await reader.read().catch(cutShort)
      if (done) break
      size += value.length
      if (size <= most) chunks.push(value)
      else if (size > discarded) {
        c.get('headers').connection = 'close'
        break
      }
    }
    if (size > most) throw new DomainError('body_too_large', `the body must have ${most} bytes or fewer`)
    c.req.raw = new Request(c.req.raw, { body: Buffer.concat(chunks) })
    return next()
  }
}

/** What a client that goes away leaves behind: nobody reads the answer, and it is no fault of ours. */
export function cutShort(): never {
  throw new DomainError('malformed_json', 'the body ended before it was complete')
}
