import { type FSWatcher, watch } from 'node:fs'

export interface SourceChange {
  file: string
  /** The time at which the change was noticed, as a value of `performance.now()`. */
  at: number
}

/** Changes of the program's source files. Tests are not part of the program. */
export interface SourceChanges {
  /** Resolves at the first change after this call. */
  next(): Promise<SourceChange>
  close(): void
}

// A change is reported after this time: editors save a file in several steps, and version control changes many files at
// once.
const settleMs = 50

/** @param folder the folder to watch, with all folders in it */
export function watchSources(folder: string): SourceChanges {
  let pending = Promise.withResolvers<SourceChange>()
  const watcher: FSWatcher = watch(folder, { recursive: true }, (_event, file) => {
    if (file === null || !file.endsWith('.ts') || /\.(test|suite)\.ts$/.test(file)) return
    const { resolve } = pending
    const at = performance.now()
    setTimeout(() => resolve({ file, at }), settleMs)
  })
  return {
    next() {
      pending = Promise.withResolvers()
      return pending.promise
    },
    close: () => watcher.close(),
  }
}
