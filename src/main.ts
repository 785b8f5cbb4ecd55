import { fileURLToPath } from 'node:url'
import { useCompileCache } from './host/compile-cache.ts'
import { createShutdown } from './host/shutdown.ts'
import { reportFailure } from './host/start-failure.ts'

// The signal handlers are installed before all other imports, because in a container this process has the id 1, and a
// signal without a handler does not end process 1.
const shutdown = createShutdown()
// Beside the packages, because a user with write access to them can change the executed code anyway.
useCompileCache(fileURLToPath(new URL('../node_modules/.compiled', import.meta.url)))
const code = await Promise.all([import('./host/serve.ts'), import('./registry.ts')])
  .then(([{ serve }, { registry }]) => serve(registry, shutdown))
  .catch((error: unknown) => {
    reportFailure(error)
    return 1
  })
process.exit(code)
