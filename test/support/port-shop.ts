import type { Call } from '#kernel/call.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { createHttpClient, type HttpClient } from '#kernel/ports/http-client.ts'
import type { Port } from '#kernel/ports/port.ts'
import { createCredentialIssuer } from '#kernel/ports/service-credential.ts'
import { listen } from '#src/http/server.ts'
import { checkedPort } from './checked-port.ts'
import { quiet } from './quiet-log.ts'
import { type Shop, startShop } from './shop.ts'

export const internalSecret = 'a secret that only these tests know'

export const call = (milliseconds = 15_000): Call => ({
  deadline: Date.now() + milliseconds,
  requestId: 'port-suite',
})

/** A shop whose ports tests call in process or over HTTP. */
export interface PortShop {
  shop: Shop
  /** The port in process. `checkedPort` checks each call. */
  local<Type extends object>(port: Port<Type>): Type
  /** Returns a client of the shop over a real socket. */
  http(send?: typeof fetch): Promise<HttpClient>
  url(): Promise<string>
  close(): Promise<void>
}

export async function startPortShop(environment: Record<string, string> = {}): Promise<PortShop> {
  const ports = new Map<string, object>()
  const shop = await startShop({
    environment: { INTERNAL_SECRET: internalSecret, ...environment },
    wrapPort(port, implementation) {
      const checked = checkedPort(port, implementation)
      ports.set(port.name, checked)
      return checked
    },
  })
  let listener: ReturnType<typeof listen> | undefined
  const url = async () => {
    listener ??= listen((request) => shop.fetch(request), {
      port: 0,
      host: '127.0.0.1',
      requestTimeoutMs: 5_000,
    })
    return `http://127.0.0.1:${(await listener).port}`
  }
  return {
    shop,
    local: <Type extends object>(port: Port<Type>) => ports.get(port.name) as Type,
    http: async (send) =>
      createHttpClient({
        target: 'product',
        url: await url(),
        credential: createCredentialIssuer(internalSecret),
        logger: await quiet,
        metrics: createMetrics(),
        ...(send && { fetch: send }),
      }),
    url,
    async close() {
      await (await listener)?.close(5_000)
      await shop.close()
    },
  }
}

/** Sends every request twice at the same time, and returns the response to the second one. */
export const sendTwice: typeof fetch = async (input, init) => {
  const [first, second] = await Promise.all([fetch(input, init), fetch(input, init)])
  await first.arrayBuffer()
  return second
}
