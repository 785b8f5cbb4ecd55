import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { ConfigError } from './kernel/config.ts'

export interface Listener {
  port: number
  /** No new connections; resolves when what is in flight has been answered. */
  close(): Promise<void>
}

/** @throws ConfigError if the port is in use */
export function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  { port, host }: { port: number; host: string },
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, port, hostname: host }) as Server
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE'
      reject(taken ? new ConfigError([`PORT ${port} is in use by another program: set another one`]) : error)
    })
    server.once('listening', () => {
      resolve({ port: (server.address() as AddressInfo).port, close: () => closed(server) })
    })
  })
}

/** `close` alone would wait for every idle keep-alive connection: they go as soon as they are idle. */
async function closed(server: Server): Promise<void> {
  const closing = new Promise<void>((resolve) => server.close(() => resolve()))
  const idle = setInterval(() => server.closeIdleConnections(), 50)
  server.closeIdleConnections()
  await closing
  clearInterval(idle)
}
