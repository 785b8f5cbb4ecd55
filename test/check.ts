// `npm run check`: the type check, the lint, the boundary check and the other quick checks, at the same time.
import { runQuickChecks } from './quick-checks.ts'

const failed = (await runQuickChecks()).filter(({ passed }) => !passed)
if (failed.length > 0) {
  console.log(`\ncheck failed: ${failed.map(({ description }) => description).join(', ')}`)
  process.exitCode = 1
}
