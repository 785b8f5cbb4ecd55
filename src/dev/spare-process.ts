// `npm run dev` loads this file before the program (`node --import`) in a process that is kept for the next restart. It imports
// the packages, which take half the time of a start and do not change, and waits for a message of the parent process. Then
// the program is loaded, with its source files as they are saved at that time.
import { once } from 'node:events'

const end = () => process.exit()
process.once('disconnect', end)

// Those that take the longest.
const packages = [
  '@hono/node-server',
  '@hono/zod-openapi',
  '@opentelemetry/api',
  'bcrypt',
  'mongoose',
  'pino',
  'prom-client',
]
await Promise.all(packages.map((name) => import(name)))
await once(process, 'message')
process.off('disconnect', end)
