import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { AuditReport } from '#kernel/audit.ts'

const script = fileURLToPath(new URL('../../src/cli/audit.ts', import.meta.url))

/** `npm run audit` with these environment variables. */
export function audit(
  environment: Record<string, string>,
  ...options: string[]
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const { PATH = '', HOME = '' } = process.env
    const env = { PATH, HOME, ...environment }
    const child = execFile(process.execPath, [script, ...options], { env }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    )
  })
}

/** What an audit has found, and how it ended. */
export interface Audit {
  code: number | null
  report: AuditReport
}

/** @throws Error if it could not look */
export async function auditReport(environment: Record<string, string>, ...options: string[]): Promise<Audit> {
  const { code, stdout, stderr } = await audit(environment, '--json', ...options)
  if (code !== 0 && code !== 1) throw new Error(`the audit ended with ${code}:\n${stdout}${stderr}`)
  return { code, report: JSON.parse(stdout) }
}
