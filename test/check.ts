// `npm run check`: the type check, the lint, the boundary check and the other quick checks, at the same time.
import { runQuickChecks } from './quick-checks.ts'

const results = await runQuickChecks()
process.exitCode = results.every((passed) => passed) ? 0 : 1
