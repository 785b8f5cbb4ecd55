import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'
import { parseAccept } from 'hono/utils/accept'
import { LRUCache } from 'lru-cache'
import { type Call, waitUntilDeadline } from '#kernel/call.ts'
import { isDomainError } from '#kernel/errors.ts'
import type { Representation } from '#kernel/http/representation.ts'
import type { Compress } from '#kernel/http/request-context.ts'
import { respond } from '#kernel/http/respond.ts'
import type { Metrics } from '#kernel/metrics.ts'
import { createQueue } from '#kernel/queue.ts'
import { queueMetrics } from '#kernel/queue-metrics.ts'

type Bytes = Uint8Array<ArrayBuffer>

// A smaller body fits into one packet, so that compression would save no time.
const minBytes = 1_400
const maxWaiting = 64
// The sum of the sizes before compression.
const maxCachedBytes = 32 * 1024 * 1024

/** The content codings, in the order in which they are chosen for a client that accepts them equally. */
const codings = {
  // Brotli's default of 11 would take 30 times as long. 5 takes as long as gzip, and its result is a tenth smaller.
  br: (body: string | Bytes): Promise<Bytes> =>
    promisify(brotliCompress)(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }),
  gzip: (body: string | Bytes): Promise<Bytes> => promisify(gzip)(body),
}
type Coding = keyof typeof codings

/** Chooses the coding by `Accept-Encoding` (RFC 9110, 12.5.3). Returns undefined if the client prefers the uncompressed body. */
function codingFor(acceptEncoding: string | undefined): Coding | undefined {
  const accepted = parseAccept(acceptEncoding ?? '')
  const qualityOf = (coding: string) => accepted.find(({ type }) => type.toLowerCase() === coding)?.q
  const others = qualityOf('*') ?? 0
  let best: Coding | undefined
  let quality = qualityOf('identity') ?? 0
  for (const coding of Object.keys(codings) as Coding[]) {
    const own = qualityOf(coding) ?? others
    const isBetter = best === undefined ? own >= quality : own > quality
    if (own > 0 && isBetter) [best, quality] = [coding, own]
  }
  return best
}

/**
 * Makes the function that compresses the bodies that `respondWith` has marked. A body is compressed once for each coding, and kept
 * for as long as there is space for it. Compression uses one thread of Node.js's pool at a time, since passwords are hashed there
 * too. A body is sent as it is if too many others wait.
 */
export function createCompression(metrics: Metrics): Compress {
  const inQueue = createQueue({
    name: 'compression',
    maxConcurrent: 1,
    maxWaiting,
    metrics: queueMetrics(metrics, 'compression'),
  })
  const cache = new LRUCache<string, Promise<Bytes>>({ maxSize: maxCachedBytes })

  const compress = (coding: Coding, { etag, body }: Representation, call: Call): Promise<Bytes> => {
    const key = `${coding} ${etag}`
    const known = cache.get(key)
    // The request that started the compression may have more time than this one.
    if (known) return waitUntilDeadline(call, 'the compression', known)
    const compressed = inQueue(call, () => codings[coding](body))
    cache.set(key, compressed, { size: body.length })
    compressed.catch(() => cache.delete(key))
    return compressed
  }

  return async (c, representation) => {
    if (representation.body.length < minBytes) return
    const coding = codingFor(c.req.header('Accept-Encoding'))
    if (coding === undefined) return
    try {
      const body = await compress(coding, representation, c.get('call'))
      const answer = respond(c, body, 200, {
        'content-type': representation.contentType,
        'content-encoding': coding,
      })
      // Otherwise Hono would add the header fields of the first answer.
      c.res = undefined
      c.res = answer
    } catch (error) {
      if (!isDomainError(error, 'overloaded', 'dependency_unavailable')) throw error
    }
  }
}
