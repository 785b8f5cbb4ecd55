// `npm run audit`: looks for inconsistent data.
import { type AuditReport, type ReportedFinding, runAudit } from '#kernel/audit.ts'
import { loadConfig, misnamedSettingWarning } from '#kernel/config/load-config.ts'
import { createLogger } from '#kernel/logger.ts'
import { createMetrics } from '#kernel/metrics.ts'
import { openComposition } from '../host/open-composition.ts'
import { textTable } from '../host/text-table.ts'
import { registry } from '../registry.ts'
import { auditMetrics } from './audit-metrics.ts'
import { quote, readCommandLine, UsageError } from './command-line.ts'
import { printResult } from './print-result.ts'

const usage = `npm run audit -- [--repair] [--json | --metrics]

Checks every product and every order of the shop that the settings name (the same environment variables as for the
program). The shop may run in the meantime. Each inconsistency is listed as a finding.

  --repair   repairs the findings that have exactly one right repair
  --json     prints { checked, complete, findings } (use npm run --silent)
  --metrics  prints the result as metrics for Prometheus (use npm run --silent)

Exit status: 0 no findings, 1 findings remain, 2 the audit could not run.`

const connectTimeoutMs = 5_000
// One query may read a whole collection. A longer timeout is useless, because MongoDB keeps a snapshot for five
// minutes.
const queryTimeoutMs = 300_000

async function main(): Promise<void> {
  const args = process.argv.slice(2)
  const { isSet, positionals } = readCommandLine(args, ['repair', 'json', 'metrics'], { mayBeSecret: false })
  const [surplus] = positionals
  if (surplus !== undefined) throw new UsageError(`${quote(surplus)}: the audit takes options only`)
  if (isSet('help')) {
    console.log(usage)
    return
  }
  if (isSet('json') && isSet('metrics')) throw new UsageError('only one of --json and --metrics can be given')
  const format = isSet('json') ? 'json' : isSet('metrics') ? 'metrics' : 'text'
  await audit({ repair: isSet('repair'), format })
}

type Format = 'text' | 'json' | 'metrics'

async function audit({ repair, format }: { repair: boolean; format: Format }): Promise<void> {
  const config = loadConfig(process.env, registry)
  for (const misnamed of config.misnamedSettings) console.error(misnamedSettingWarning(misnamed))
  const logger = await createLogger({ level: 'silent', human: false, service: 'audit' })
  const composition = await openComposition(
    {
      modules: registry,
      config: { ...config, requestTimeoutMs: queryTimeoutMs },
      logger,
      metrics: createMetrics(),
    },
    (line) => console.error(line),
  )
  try {
    if (composition.audits.length === 0) throw new Error('SERVICE must include a module that has an audit')
    await composition.connect(AbortSignal.timeout(connectTimeoutMs))
    const report = await runAudit(composition.audits, { repair, confirmAfterMs: config.requestTimeoutMs })
    const modules = composition.audits.map(({ module }) => module)
    if (format === 'metrics') printResult(await auditMetrics(report, modules))
    else printResult(format === 'json' ? JSON.stringify(report) : textOf(report))
    const hasRemaining = report.findings.some(({ repaired }) => repaired === undefined)
    process.exitCode = report.complete && !hasRemaining ? 0 : 1
  } finally {
    await composition.close()
  }
}

function textOf({ checked, complete, findings }: AuditReport): string {
  const counts = Object.entries(checked).map(([kind, count]) => `${count} ${nounFor(kind, count)}`)
  const repaired = findings.filter((finding) => finding.repaired !== undefined).length
  const summary = [
    `Checked ${counts.join(', ')}: ${findings.length} ${nounFor('findings', findings.length)}`,
    ...(repaired > 0 ? [`${repaired} repaired`] : []),
    ...(complete ? [] : ['and there may be more: run the audit again']),
  ].join(', ')
  if (findings.length === 0) return summary
  const table = textTable([['MODULE', 'FINDING', 'SUBJECT', 'DESCRIPTION'], ...findings.map(rowOf)])
  return [...table, '', summary].join('\n')
}

/** @param kind a plural, such as `orders` */
const nounFor = (kind: string, count: number): string => (count === 1 ? kind.replace(/s$/, '') : kind)

function rowOf(finding: ReportedFinding): string[] {
  const { module, code, subject, message, repairable, repaired, notRepaired } = finding
  const outcome = repaired ? `repaired: ${repaired}` : notRepaired && `not repaired: ${notRepaired}`
  const remark = outcome ?? (repairable ? '--repair repairs it' : undefined)
  return [module, code, subject, remark ? `${message} (${remark})` : message]
}

// With `exitCode`, Node.js ends when all output is written. `process.exit` would lose what a slow pipe has not accepted
// yet.
await main().catch((error: unknown) => {
  const message = error instanceof Error ? error.message : error
  console.error(error instanceof UsageError ? `${message}\n\n${usage}` : message)
  process.exitCode = 2
})
