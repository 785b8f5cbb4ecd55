import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The folder of the repository. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

// The build of an image and the fuzzing of a whole API take the longest.
const timeoutMs = 3_600_000

/**
 * Runs a program, in the project's folder unless `cwd` names another.
 * @returns its standard output
 * @throws Error with the end of its output, if its exit code is not 0
 */
export function runProgram(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = root,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: { ...process.env, ...env }, timeout: timeoutMs, maxBuffer: 2 ** 26 }
    execFile(program, [...args], options, (error, stdout, stderr) => {
      const output = `${stdout.slice(-20_000)}${stderr.slice(-4_000)}`
      if (error) reject(new Error(`${program} ${args.join(' ')}: ${output}`, { cause: error }))
      else resolve(stdout.trim())
    })
  })
}
