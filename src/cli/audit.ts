import { type AuditReport, type ReportedFinding, runAudit } from '#kernel/audit.ts'
import { loadConfig, misnamedSettingWarning } from '#kernel/config/load-config.ts'
import { createLogger } from '#kernel/logger.ts'
import { openComposition } from '../host/open-composition.ts'
import { registry } from '../registry.ts'
import { quoted, readCommandLine, UsageError } from './command-line.ts'
import { print } from './print.ts'

const usage = `npm run audit -- [--repair] [--json]

Looks at every product and every order of the shop that the settings name (the same environment variables as the
program), also while it runs, and says what does not hold.

  --repair   sets right what has exactly one right answer
  --json     prints { checked, complete, findings } (use npm run --silent)

Ends with 0 if nothing is left to find, 1 if something is, 2 if it could not look.`

const connectTimeoutMs = 5_000
/** How long one read of all there is may take: as long as MongoDB remembers a snapshot. */
const readTimeoutMs = 300_000

async function main(): Promise<number> {
  const { isSet, positionals } = readCommandLine(['repair', 'json'], { mayBeSecret: false })
  const [surplus] = positionals
  if (surplus !== undefined)
    throw new UsageError(`${quoted(surplus)} is an argument too many: there are only options`)
  if (isSet('help')) {
    console.log(usage)
    return 0
  }
  const config = loadConfig(process.env, registry)
  for (const misnamed of config.misnamedSettings) console.error(misnamedSettingWarning(misnamed))
  const logger = await createLogger({ level: 'silent', human: false, service: 'audit' })
  const composition = await openComposition(
    registry,
    { ...config, requestTimeoutMs: readTimeoutMs },
    logger,
    (line) => console.error(line),
  )
  try {
    if (composition.audits.length === 0)
      throw new Error('SERVICE: no module that is hosted here has an audit')
    await composition.connect(AbortSignal.timeout(connectTimeoutMs))
    const report = await runAudit(composition.audits, {
      repair: isSet('repair'),
      confirmAfterMs: config.requestTimeoutMs,
    })
    await print(isSet('json') ? JSON.stringify(report) : readable(report))
    return report.complete && report.findings.every(({ repaired }) => repaired !== undefined) ? 0 : 1
  } finally {
    await composition.close()
  }
}

function readable({ checked, complete, findings }: AuditReport): string {
  const counts = Object.entries(checked).map(([what, count]) => `${count} ${what}`)
  const repaired = findings.filter((finding) => finding.repaired !== undefined).length
  const summary = [
    `Looked at ${counts.join(', ')}: ${findings.length} ${findings.length === 1 ? 'finding' : 'findings'}`,
    ...(repaired > 0 ? [`${repaired} repaired`] : []),
    ...(complete ? [] : ['and there may be more: run it again']),
  ].join(', ')
  if (findings.length === 0) return summary
  const rows = [['MODULE', 'FINDING', 'OF', 'WHAT'], ...findings.map(rowOf)]
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return [...lines, '', summary].join('\n')
}

function rowOf({
  module,
  code,
  subject,
  message,
  repairable,
  repaired,
  notRepaired,
}: ReportedFinding): string[] {
  const outcome = repaired ? `repaired: ${repaired}` : notRepaired && `not repaired: ${notRepaired}`
  const note = outcome ?? (repairable ? '--repair sets it right' : undefined)
  return [module, code, subject, note ? `${message} (${note})` : message]
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    const message = error instanceof Error ? error.message : error
    console.error(error instanceof UsageError ? `${message}\n\n${usage}` : message)
    process.exit(2)
  },
)
