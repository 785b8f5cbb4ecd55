import { fileURLToPath } from 'node:url'
import { keepCompiled } from './compile-cache.ts'
import { reportFailure } from './start-failure.ts'
import { stopSignal } from './stop-signal.ts'

/**
 * The process. It hears signals before anything else is loaded: process 1 of a container is not ended by one that it
 * does not listen for.
 */
const ending = stopSignal()
// Beside the packages: whoever may write there may change what runs in any case.
keepCompiled(fileURLToPath(new URL('../node_modules/.compiled', import.meta.url)))
const code = await import('./serve.ts')
  .then(({ serve }) => serve(ending))
  .catch((error: unknown) => {
    reportFailure(error)
    return 1
  })
process.exit(code)
