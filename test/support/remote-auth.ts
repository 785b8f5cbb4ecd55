import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { createTokenIssuer } from '#src/modules/auth/sessions/access-token-issuer.ts'
import { createClient } from './client.ts'
import { startComposition } from './shop.ts'

type PrivateKey = Parameters<typeof createTokenIssuer>[0]['key']

/**
 * Starts an HTTP server for AUTH_URL that counts the fetches of the key set. A test sets its answer. Probes succeed unless a test
 * sets their answer too, so that each fetch is sent, whatever the earlier ones got.
 */
export async function startAuthServer(answer: RequestListener) {
  const authServer = { url: '', fetches: 0, answer, answerProbe: respondWith('{}'), close: async () => {} }
  const server = createServer((request, response) => {
    if (request.url === '/healthz') return authServer.answerProbe(request, response)
    if (request.url === '/.well-known/jwks.json') authServer.fetches += 1
    authServer.answer(request, response)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  authServer.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  authServer.close = async () => {
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
  return authServer
}

/** Answers with an application. */
export const forwardTo = (fetch: (request: Request) => Response | Promise<Response>): RequestListener =>
  getRequestListener(fetch)

/** Answers with this body. */
export const respondWith =
  (body: string, status = 200): RequestListener =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  }

/** Closes the connection without an answer. */
export const dropConnection: RequestListener = (request) => {
  request.socket.destroy()
}

/** Composes one module alone, as in a process of its own. */
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

/** Starts product and order as services that fetch the keys from auth. */
export async function startServices(authUrl: string, environment: Record<string, string> = {}) {
  // In these tests the order service never calls the product service.
  const remote = { AUTH_URL: authUrl, PRODUCT_URL: 'http://127.0.0.1:9', ...environment }
  const start = async (module: string) => {
    const { client, close } = await startService(module, remote)
    return {
      module,
      close,
      /** Presents an admin's token. A service that accepts it then refuses the invalid product or order id. */
      present: async (token: string) => {
        const { status, body } = await client.put(`/${module}s/nothing`, { token, body: {} })
        return status === 400 ? 'accepted' : `${status} ${body.code}`
      },
    }
  }
  return Promise.all([start('product'), start('order')])
}

/** Issues an admin's token with this key, as auth does. */
export const issuedWith = (key: PrivateKey, lifetimeSeconds = 900): Promise<string> =>
  createTokenIssuer({ key, issuer: 'trivet', lifetimeSeconds }).issue({
    userId: '0123456789abcdef01234567',
    role: 'admin',
  })
