import { createShutdown } from './host/shutdown.ts'
import { reportFailure } from './host/start-failure.ts'

/**
 * The process. It hears signals before anything else is loaded: process 1 of a container is not ended by one that it
 * does not listen for.
 */
const shutdown = createShutdown()
const code = await import('./host/serve.ts')
  .then(({ serve }) => serve(shutdown))
  .catch((error: unknown) => {
    reportFailure(error)
    return 1
  })
process.exit(code)
