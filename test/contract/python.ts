import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runProgram } from '#test/support/run-program.ts'
import { cache } from './cache.ts'

/** The reason why this machine cannot make Python environments. Undefined if it can. */
export const noPython: string | undefined = (() => {
  // In CI a missing toolchain must not hide a failure, so the tests run there in any case.
  if (process.env.CI) return undefined
  const check = 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
  const { status } = spawnSync('python3', ['-c', check], { timeout: 20_000 })
  return status === 0 ? undefined : 'Python 3.11 or later with venv and pip is not installed (python3)'
})()

/**
 * Makes a virtual environment in the user's cache, once for each content of the file.
 * @param requirements the path of a file that lists every package with its hash
 * @returns the folder of the programs of these packages
 */
export async function pythonPrograms(requirements: string): Promise<string> {
  const hash = createHash('sha256')
    .update(await readFile(requirements))
    .digest('hex')
    .slice(0, 16)
  const environment = join(cache, `python-${hash}`)
  const programs = join(environment, 'bin')
  // This file is written last. Without it, the installation was interrupted.
  const complete = join(environment, 'complete')
  if (existsSync(complete)) return programs
  console.log(`Installing the packages of ${requirements} into ${environment} (once) ...`)
  await rm(environment, { recursive: true, force: true })
  await mkdir(cache, { recursive: true })
  await runProgram('python3', ['-m', 'venv', environment])
  await runProgram(join(programs, 'pip'), ['install', '--quiet', '--require-hashes', '-r', requirements])
  await writeFile(complete, '')
  return programs
}
