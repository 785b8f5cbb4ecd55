import type { Server } from 'node:http'

/** The same guarantees as Trivet's: an acknowledged write is on a majority of members, and in the journal. */
export const connectionOptions = {
  maxPoolSize: 100,
  readConcern: { level: 'majority' },
  writeConcern: { w: 'majority', journal: true },
} as const

export const uri = process.env.MONGODB_URI ?? 'mongodb://127.0.0.1:27017/'
export const database = process.env.MONGODB_DATABASE ?? 'bench'
export const port = Number(process.env.PORT ?? 3000)

/** Keeps idle connections as long as Trivet does. Stops on SIGTERM, and when the parent process ends. */
export function closeOnStop(server: Server, close: () => Promise<void>): void {
  server.keepAliveTimeout = 75_000
  const stop = () => {
    server.close(() => void close().then(() => process.exit(0)))
    server.closeIdleConnections()
  }
  process.once('SIGTERM', stop)
  process.once('disconnect', stop)
}
