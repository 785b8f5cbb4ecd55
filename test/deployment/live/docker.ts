import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../..', import.meta.url))
// An image is built in that, too.
const longest = 1_200_000

/** What is missing to run containers here, or undefined. */
export const noDocker: string | undefined = (() => {
  const succeeds = (...args: string[]) => spawnSync('docker', args, { timeout: 20_000 }).status === 0
  if (!succeeds('version')) return 'no Docker engine answers (docker version)'
  if (!succeeds('compose', 'version')) return 'Docker has no compose (docker compose version)'
  return undefined
})()

/** `docker` with these arguments, as `run`. */
export const docker = (args: readonly string[], env: Record<string, string> = {}): Promise<string> =>
  run('docker', args, env)

/**
 * A program with these arguments, in the project's folder.
 * @returns what it has printed on standard output
 * @throws Error with what it has printed on standard error
 */
export function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd: root, env: { ...process.env, ...env }, timeout: longest, maxBuffer: 2 ** 26 }
    execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(' ')}: ${stderr.slice(-4_000)}`, { cause: error }))
      else resolve(stdout.trim())
    })
  })
}
