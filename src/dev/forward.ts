import { type IncomingMessage, request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { elementsOf } from '#kernel/http/header-list.ts'

// The header fields that belong to one connection (RFC 9110, 7.6.1).
const ofConnection = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** Copies header fields, without those that belong to the connection, and without those that `Connection` names. */
export function withoutConnectionFields(received: Headers, ...others: string[]): Headers {
  const headers = new Headers(received)
  const named = elementsOf(received.get('connection') ?? '')
  for (const name of [...ofConnection, ...named, ...others]) headers.delete(name)
  return headers
}

/**
 * Sends a request to a service and returns its complete answer. `fetch` is not used, because it decompresses the body, so that its
 * length and its coding would be lost.
 */
export async function forward(
  url: string,
  options: { method: string; headers: Headers; body: Uint8Array | null; signal: AbortSignal },
): Promise<Response> {
  const { method, headers, body, signal } = options
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = request(url, { method, headers: Object.fromEntries(headers), signal }, resolve)
    sent.once('error', reject)
    sent.end(body ?? undefined)
  })
  const content = await buffer(answer)
  const status = answer.statusCode ?? 502
  const hasBody = method !== 'HEAD' && status !== 204 && status !== 304
  return new Response(hasBody ? content : null, {
    status,
    headers: withoutConnectionFields(new Headers(answer.headers as Record<string, string>)),
  })
}
