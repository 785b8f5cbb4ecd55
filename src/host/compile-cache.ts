import { lstatSync, mkdirSync } from 'node:fs'
import { enableCompileCache } from 'node:module'

/**
 * Stores compiled code in a folder for the next start, which then takes less time and memory. Node.js executes the content of
 * the folder, so the folder must belong to the user of this process, and no other user may have access. Without such a folder,
 * as in a container with a read-only file system, the process starts without a cache.
 *
 * The parent folder must exist. Node.js would create it too, and never returns if that is impossible, for example below
 * `/proc`.
 */
export function useCompileCache(folder: string): void {
  if (isPrivate(folder)) enableCompileCache(folder)
}

function isPrivate(folder: string): boolean {
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch {
    // The folder may exist already.
  }
  try {
    const found = lstatSync(folder)
    return found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0
  } catch {
    return false
  }
}
