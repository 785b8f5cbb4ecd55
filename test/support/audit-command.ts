import type { AuditReport } from '#kernel/audit.ts'
import { runScript } from './processes.ts'

/** Runs `npm run audit` with these environment variables. */
export const audit = (environment: Record<string, string>, ...options: string[]) =>
  runScript('cli/audit.ts', options, environment)

/** The report and the exit status of an audit. */
export interface Audit {
  code: number | null
  report: AuditReport
}

/** @throws Error if the audit could not run */
export async function auditReport(environment: Record<string, string>, ...options: string[]): Promise<Audit> {
  const { code, stdout, stderr } = await audit(environment, '--json', ...options)
  if (code !== 0 && code !== 1) throw new Error(`the audit ended with ${code}:\n${stdout}${stderr}`)
  return { code, report: JSON.parse(stdout) }
}
