import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { createTokenIssuer } from '#src/modules/auth/sessions/access-tokens.ts'
import { createClient } from './client.ts'
import { startComposition } from './shop.ts'

type PrivateKey = Parameters<typeof createTokenIssuer>[0]['key']

/** What stands where AUTH_URL leads: a real socket that counts who asks for the keys, and answers as it is told to. */
export async function startAuthFront(answer: RequestListener) {
  const front = { url: '', fetches: 0, answer, close: async () => {} }
  const server = createServer((request, response) => {
    if (request.url === '/.well-known/jwks.json') front.fetches += 1
    front.answer(request, response)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  front.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  front.close = async () => {
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
  return front
}

/** Handed on to an application. */
export const to = (fetch: (request: Request) => Response | Promise<Response>): RequestListener =>
  getRequestListener(fetch)

export const answering =
  (body: string, status = 200): RequestListener =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  }

export const gone: RequestListener = (request) => {
  request.socket.destroy()
}

/** A module in a process of its own, as far as it can tell. */
export async function startService(module: string, environment: Record<string, string>) {
  const { composition, close } = await startComposition({ environment: { SERVICE: module, ...environment } })
  await composition.prepare(new AbortController().signal)
  const { app } = composition
  return {
    module,
    fetch: (request: Request) => app.fetch(request),
    client: createClient((path, init) => app.request(path, init)),
    close,
  }
}

/** Product and order, which have to ask auth for its keys. */
export async function startServices(authUrl: string, environment: Record<string, string> = {}) {
  // Nothing in these tests gets as far as to need the product service.
  const remote = { AUTH_URL: authUrl, PRODUCT_URL: 'http://127.0.0.1:9', ...environment }
  const start = async (module: string) => {
    const { client, close } = await startService(module, remote)
    return {
      module,
      close,
      /** Whether the service takes an admin's token: then it goes on to find fault with the id. */
      show: async (token: string) => {
        const { status, body } = await client.put(`/${module}s/nothing`, { token, body: {} })
        return status === 400 ? 'accepted' : `${status} ${body.code}`
      },
    }
  }
  return Promise.all([start('product'), start('order')])
}

/** A token as auth with this key would issue it to an admin. */
export const issuedWith = (key: PrivateKey, lifetimeSeconds = 900): Promise<string> =>
  createTokenIssuer({ key, issuer: 'trivet', lifetimeSeconds }).issue({
    userId: '0123456789abcdef01234567',
    role: 'admin',
  })
