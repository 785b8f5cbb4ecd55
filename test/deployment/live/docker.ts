import { spawnSync } from 'node:child_process'
import { runProgram } from '#test/support/run-program.ts'

/** The reason why this machine cannot run containers. Undefined if it can. */
export const noDocker: string | undefined = (() => {
  const succeeds = (...args: string[]) => spawnSync('docker', args, { timeout: 20_000 }).status === 0
  if (!succeeds('version')) return 'no Docker engine answers (docker version)'
  if (!succeeds('compose', 'version')) return 'Docker has no compose (docker compose version)'
  return undefined
})()

export const docker = (args: readonly string[], env: Record<string, string> = {}): Promise<string> =>
  runProgram('docker', args, env)
