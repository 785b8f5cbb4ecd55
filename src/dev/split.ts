// `npm run split`: one process per module, a gateway that routes to them as an ingress does, and the embedded MongoDB.
import { reportFailure } from '../host/start-failure.ts'
import { registry } from '../registry.ts'
import { runSplit } from './run-split.ts'

const code = await runSplit(registry, new URL('../main.ts', import.meta.url)).catch((error: unknown) => {
  reportFailure(error)
  return 1
})
process.exit(code)
