import { lstatSync, mkdirSync } from 'node:fs'
import { enableCompileCache } from 'node:module'

/**
 * Keeps what Node.js compiles in a folder, for the next start: that takes 0.1 s and 6 MB less. What is in it is run, so
 * it has to be this user's, and closed to everybody else. Where there can be none, such as in a container, the process
 * starts without.
 *
 * The folder above has to exist. Node.js would make that as well, and does not come back where it cannot: it tries for
 * ever to make a folder below `/proc`.
 */
export function keepCompiled(folder: string): void {
  if (isOurs(folder)) enableCompileCache(folder)
}

function isOurs(folder: string): boolean {
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch {
    // It may be there already.
  }
  try {
    const found = lstatSync(folder)
    return found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0
  } catch {
    return false
  }
}
