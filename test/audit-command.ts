import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { AuditReport } from '../src/kernel/audit.ts'

export interface AuditRun {
  code: number | null
  stdout: string
  stderr: string
  /** Of `--json`. */
  report(): AuditReport
}

const script = fileURLToPath(new URL('../src/audit.ts', import.meta.url))

/** `npm run audit` with these environment variables. */
export function audit(environment: Record<string, string>, ...options: string[]): Promise<AuditRun> {
  return new Promise((resolve) => {
    const { PATH = '', HOME = '' } = process.env
    const env = { PATH, HOME, ...environment }
    const child = execFile(process.execPath, [script, ...options], { env }, (_error, stdout, stderr) => {
      resolve({
        code: child.exitCode,
        stdout,
        stderr,
        report() {
          if (child.exitCode === 0 || child.exitCode === 1) return JSON.parse(stdout)
          throw new Error(`the audit ended with ${child.exitCode}:\n${stdout}${stderr}`)
        },
      })
    })
  })
}
