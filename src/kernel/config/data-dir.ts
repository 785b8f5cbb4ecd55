import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { isSystemError, reasonOf } from '#kernel/system-error.ts'
import { ConfigError } from './config-error.ts'

/** @param reason completes "cannot be used: " */
export const dataDirError = (dataDir: string, reason: string): ConfigError =>
  new ConfigError([`DATA_DIR ${resolve(dataDir)} cannot be used: ${reason}`])

/**
 * Does work on the files of DATA_DIR, which is made where it is missing.
 * @throws ConfigError where the system refuses access to one of them, or has no room for it
 */
export async function withDataDir<Result>(dataDir: string, work: () => Promise<Result>): Promise<Result> {
  try {
    await makeFolder(resolve(dataDir))
    return await work()
  } catch (error) {
    const isOfFile = isSystemError(error) && /^(?!spawn|connect|listen|bind|kill)/.test(error.syscall)
    if (!isOfFile) throw error
    const { path } = error
    const place = path === undefined || path === resolve(dataDir) ? '' : `${path}: `
    throw dataDirError(
      dataDir,
      `${place}${reasonOf(error)}. Set it to a folder that this process may write to`,
    )
  }
}

/** With the folders above it. `mkdir` with `recursive` does not come back where that is impossible, as below /proc. */
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await stat(folder)).isDirectory()) return
    if (code !== 'ENOENT' || dirname(folder) === folder) throw error
    await makeFolder(dirname(folder))
    await mkdir(folder).catch((raced: NodeJS.ErrnoException) => {
      if (raced.code !== 'EEXIST') throw raced
    })
  }
}
