import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { isSystemError, reasonOf } from '#kernel/system-error.ts'
import { ConfigError } from './config-error.ts'

/** @param reason follows the words "cannot be used: " in the message */
export const dataDirError = (dataDir: string, reason: string): ConfigError =>
  new ConfigError([`DATA_DIR ${resolve(dataDir)} cannot be used: ${reason}`])

/**
 * Runs `work`, which uses the files of DATA_DIR. The folder is created if it is missing.
 * @throws ConfigError if the system refuses access to a file or folder, or has no space left
 */
export async function withDataDir<Result>(dataDir: string, work: () => Promise<Result>): Promise<Result> {
  try {
    await makeFolder(resolve(dataDir))
    return await work()
  } catch (error) {
    const isFileError = isSystemError(error) && /^(?!spawn|connect|listen|bind|kill)/.test(error.syscall)
    if (!isFileError) throw error
    const { path } = error
    const location = path === undefined || path === resolve(dataDir) ? '' : `${path}: `
    throw dataDirError(
      dataDir,
      `${location}${reasonOf(error)}. Set it to a folder that this process may write to`,
    )
  }
}

/**
 * Creates a folder and its parents. The option `recursive` of `mkdir` is not used, because such a call never ends below
 * /proc.
 */
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
