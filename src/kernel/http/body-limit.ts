import type { Context } from 'hono'
import { DomainError } from '#kernel/errors.ts'
import type { AppEnv } from './app-env.ts'
import type { RequestCheck } from './request-checks.ts'

export const maxBodyBytes = 1024 * 1024

// Up to this many bytes of a refused body are read and discarded, because many clients read the answer only after they
// have sent the whole body.
const maxDiscardedBytes = 16 * 1024 * 1024

/**
 * Refuses a body of more than `maxBytes` with `body_too_large`, with or without a Content-Length.
 *
 * Hono's own limit answers at once and does not read the rest of the body. node-server then closes the connection half
 * a second later, so that a client that is still sending gets no answer.
 */
export function bodyLimit(maxBytes: number): RequestCheck {
  const readWithinLimit = async (c: Context<AppEnv>, body: ReadableStream<Uint8Array>) => {
    const chunks: Uint8Array[] = []
    let size = 0
    const reader = body.getReader()
    for (;;) {
      const { done, value } = await reader.read().catch(refuseIncompleteBody)
      if (done) break
      size += value.length
      if (size <= maxBytes) chunks.push(value)
      else if (size > maxDiscardedBytes) {
        c.get('headers').connection = 'close'
        break
      }
    }
    if (size > maxBytes)
      throw new DomainError('body_too_large', `the body must have ${maxBytes} bytes or fewer`)
    c.req.raw = new Request(c.req.raw, { body: Buffer.concat(chunks) })
  }
  return (c) => {
    // Reading `body` makes node-server create a stream, which these requests do not need.
    if (c.req.method === 'GET' || c.req.method === 'HEAD') return
    if (Number(c.req.header('Content-Length') ?? Number.NaN) <= maxBytes) return
    const { body } = c.req.raw
    return body ? readWithinLimit(c, body) : undefined
  }
}

/** Refuses a request whose client has closed the connection before the end of the body. It is not a fault of the server. */
export function refuseIncompleteBody(): never {
  throw new DomainError('malformed_json', 'the body ended before it was complete')
}
