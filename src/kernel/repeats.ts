/** Writes a line that stands for `count` events, of which it shows the last. */
export type WriteLine = (count: number) => void

// The kinds that are told apart at a time. Further kinds are counted together, so that a kind with an id in its name cannot take
// more and more memory.
const maxKinds = 100
const otherKinds = 'other kinds'

/**
 * Bounds the lines about events that repeat, such as the failure of each request while a database is down. The first event of a
 * kind is written at once. The following ones are counted, and one line for all of them is written at the end of each interval. The
 * sum of the counts is the number of events. A kind without an event in an interval starts anew.
 */
export function countRepeats(intervalMs: number) {
  const kinds = new Map<string, { count: number; write: WriteLine }>()

  const writeCounted = (kind: string): void => {
    const repeats = kinds.get(kind)
    kinds.delete(kind)
    if (!repeats || repeats.count === 0) return
    repeats.write(repeats.count)
    startCounting(kind)
  }

  const startCounting = (kind: string): void => {
    kinds.set(kind, { count: 0, write: () => undefined })
    setTimeout(writeCounted, intervalMs, kind).unref()
  }

  return {
    /** @returns whether the event was written at once */
    add(kind: string, write: WriteLine): boolean {
      const known = kinds.has(kind) || kinds.size < maxKinds ? kind : otherKinds
      const repeats = kinds.get(known)
      if (repeats) {
        repeats.count += 1
        repeats.write = write
        return false
      }
      startCounting(known)
      write(1)
      return true
    },

    /** Writes what was counted so far, for the end of the process. */
    flush(): void {
      for (const { count, write } of kinds.values()) if (count > 0) write(count)
      kinds.clear()
    },
  }
}
