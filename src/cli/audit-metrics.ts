import type { AuditReport } from '#kernel/audit.ts'
import { createMetrics } from '#kernel/metrics.ts'

const findings = {
  name: 'trivet_audit_findings',
  help: 'Findings of the last audit that were not repaired, by module',
}
const checked = {
  name: 'trivet_audit_checked_documents',
  help: 'Documents that the last audit checked, by kind',
}
const complete = {
  name: 'trivet_audit_complete',
  help: '1 if the last audit looked at everything; 0 if it stopped early',
}
const finishedAt = {
  name: 'trivet_audit_finished_timestamp_seconds',
  help: 'End of the last audit, as Unix time',
}

/**
 * Renders the report of an audit in Prometheus' text format.
 * @param modules the names of the modules that were audited
 */
export async function auditMetrics(report: AuditReport, modules: readonly string[]): Promise<string> {
  const metrics = createMetrics()
  const open = report.findings.filter(({ repaired }) => repaired === undefined)
  for (const module of modules) {
    metrics.gauge(findings, () => open.filter((finding) => finding.module === module).length, { module })
  }
  for (const [kind, count] of Object.entries(report.checked)) metrics.gauge(checked, () => count, { kind })
  metrics.gauge(complete, () => (report.complete ? 1 : 0))
  metrics.gauge(finishedAt, () => Date.now() / 1_000)
  return (await metrics.scrape()).text.trimEnd()
}
