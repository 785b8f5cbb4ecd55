import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../..', import.meta.url))
// The build of an image takes the longest.
const timeoutMs = 1_200_000

/** The reason why this machine cannot run containers. Undefined if it can. */
export const noDocker: string | undefined = (() => {
  const succeeds = (...args: string[]) => spawnSync('docker', args, { timeout: 20_000 }).status === 0
  if (!succeeds('version')) return 'no Docker engine answers (docker version)'
  if (!succeeds('compose', 'version')) return 'Docker has no compose (docker compose version)'
  return undefined
})()

export const docker = (args: readonly string[], env: Record<string, string> = {}): Promise<string> =>
  run('docker', args, env)

/**
 * Runs a program in the project's folder.
 * @returns its standard output
 * @throws Error with its standard error, if its exit code is not 0
 */
export function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd: root, env: { ...process.env, ...env }, timeout: timeoutMs, maxBuffer: 2 ** 26 }
    execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(' ')}: ${stderr.slice(-4_000)}`, { cause: error }))
      else resolve(stdout.trim())
    })
  })
}
