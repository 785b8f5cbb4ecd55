import { stopSignal } from './stop-signal.ts'

/**
 * The process. It hears signals before anything else is loaded: process 1 of a container is not ended by one that it
 * does not listen for.
 */
const ending = stopSignal()
const { serve } = await import('./serve.ts')
process.exit(await serve(ending))
