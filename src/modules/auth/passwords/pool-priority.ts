import { readdirSync, readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { constants, getPriority, setPriority } from 'node:os'

const threadsFolder = '/proc/self/task'
// As libuv calls the threads of its pool.
const poolThread = 'libuv-worker\n'
// The scheduler of Linux gives a thread with this step about a tenth of a core for which the main thread competes.
const priorityStep = 10

/**
 * Lowers the priority of the threads of Node.js's pool, on which bcrypt hashes, so that hashing takes the time that requests leave.
 * Linux has a priority for each thread. On other systems the threads keep the priority of the process.
 */
export async function lowerPoolPriority(): Promise<void> {
  try {
    // The pool starts with the first work for it.
    await stat(threadsFolder)
    const priority = Math.min(constants.priority.PRIORITY_LOW, getPriority() + priorityStep)
    for (const id of readdirSync(threadsFolder)) {
      if (readFileSync(`${threadsFolder}/${id}/comm`, 'utf8') === poolThread)
        setPriority(Number(id), priority)
    }
  } catch {
    // The system has no such folder, or does not allow the change.
  }
}
