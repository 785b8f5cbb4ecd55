import { constants, fstatSync, openSync, writeSync } from 'node:fs'
import type { DestinationStream } from 'pino'
import type { Metrics } from './metrics.ts'

// The maximum length of the waiting lines, in characters, and of the chunk that is being written, in bytes. If the
// reader of the log stops reading, further lines are lost, and the process continues.
const maxBacklogLength = 16 * 1024 * 1024
// Lines are collected for this time, because one write for each line would cost as much as the request that the line
// reports.
const flushIntervalMs = 10
const retryIntervalMs = 2
// The time for a slow reader when the process exits. It is shorter than the time that a parent waits after DRAIN_TIMEOUT.
const maxExitFlushMs = 800

/**
 * Writes lines to a file descriptor. The lines of 10 milliseconds are written together, and the rest when the process
 * exits. The lines of the last 10 milliseconds are lost if the process is killed. Lines that cannot be written are lost
 * too. A pipe or a socket never blocks the process; a file or a terminal blocks it while it writes.
 * @param options.onLost is called with the number of lines that were lost so far, as soon as lines can be written again
 */
export function createLogDestination(
  sharedFd: number,
  { onLost, metrics }: { onLost: (linesLost: number) => void; metrics?: Metrics | undefined },
): DestinationStream {
  const fd = reopenPipe(sharedFd)
  let lines = ''
  let chunk = Buffer.alloc(0)
  let isPlanned = false
  let linesLost = 0
  let reportedLost = 0
  metrics?.total(
    { name: 'trivet_log_lines_lost_total', help: 'Lines of the log that could not be written' },
    () => linesLost,
  )
  /** @returns whether everything has been written */
  const write = (): boolean => {
    if (chunk.length === 0) {
      chunk = Buffer.from(lines)
      lines = ''
    }
    try {
      while (chunk.length > 0) chunk = chunk.subarray(writeSync(fd, chunk))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false
      linesLost += countLines(chunk)
      chunk = chunk.subarray(chunk.length)
      return lines === ''
    }
    if (linesLost > reportedLost) {
      reportedLost = linesLost
      onLost(linesLost)
    }
    return lines === ''
  }
  const writeAfter = (delayMs: number) => {
    isPlanned = true
    setTimeout(() => {
      isPlanned = false
      if (!write()) writeAfter(retryIntervalMs)
    }, delayMs).unref()
  }
  process.on('exit', () => {
    const end = performance.now() + maxExitFlushMs
    const clock = new Int32Array(new SharedArrayBuffer(4))
    while (!write() && performance.now() < end) Atomics.wait(clock, 0, 0, retryIntervalMs)
  })
  return {
    write(line) {
      if (chunk.length + lines.length > maxBacklogLength) linesLost += 1
      else lines += line
      if (!isPlanned) writeAfter(flushIntervalMs)
    },
  }
}

const countLines = (chunk: Buffer): number => chunk.toString('latin1').split('\n').length - 1

/**
 * Opens a pipe again, in non-blocking mode, if the system allows it. All processes that share a descriptor share its mode, and
 * each child process that inherits the descriptor makes it blocking.
 */
function reopenPipe(fd: number): number {
  try {
    if (!fstatSync(fd).isFIFO()) return fd
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    return fd
  }
}
