// `npm run dev` loads this file before the program (`node --import`) in a process that is kept for the next restart. It imports
// the packages, which take half the time of a start and do not change, and waits for a message of the parent process. Then
// the program is loaded, with its source files as they are saved at that time.
import { once } from 'node:events'

await Promise.all([
  import('@hono/node-server'),
  import('@hono/zod-openapi'),
  import('@opentelemetry/api'),
  import('bcrypt'),
  import('mongoose'),
  import('pino'),
  import('prom-client'),
])

const end = () => process.exit()
process.once('disconnect', end)
await once(process, 'message')
process.off('disconnect', end)
