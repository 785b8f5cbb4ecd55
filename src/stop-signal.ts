/**
 * Whatever asks this process to end, once: SIGTERM, SIGINT, or the end of a parent that it was forked by. A second
 * signal is from somebody who does not want to wait, and ends the process at once.
 */
export function stopSignal(): { signal: AbortSignal; stopped: Promise<string> } {
  const stop = new AbortController()
  const stopped = new Promise<string>((resolve) => {
    for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) {
      process.on(event, () => {
        if (stop.signal.aborted) process.exit(1)
        stop.abort()
        resolve(event)
      })
    }
  })
  return { signal: stop.signal, stopped }
}
