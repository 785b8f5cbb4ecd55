import { Node, Yallist } from 'yallist'

// A timer fires at most this long after its deadline. One interval serves all timers. One Node.js timer for each would
// cost more, because each request has several timers and almost none of them fires.
export const maxLatenessMs = 10

interface Timer {
  readonly deadline: number
  fire(): void
}

// A Set would keep removed timers in memory for long: V8 replaces its internal tables as entries come and go, and
// collects old tables late.
const timers = new Yallist<Timer>()
let interval: NodeJS.Timeout | undefined

function fireOverdue(): void {
  const now = Date.now()
  const overdue = [...timers].filter(({ deadline }) => deadline <= now)
  for (const timer of overdue) timer.fire()
  if (timers.head) return
  clearInterval(interval)
  interval = undefined
}

/**
 * Calls `callback` at the deadline, or up to 10 ms later.
 * @returns a function that cancels the call
 */
export function atDeadline({ deadline }: { deadline: number }, callback: () => void): () => void {
  const cancel = () => {
    if (node.list) timers.removeNode(node)
  }
  const node = new Node<Timer>({
    deadline,
    fire() {
      // An earlier callback may have cancelled this timer.
      if (!node.list) return
      timers.removeNode(node)
      callback()
    },
  })
  timers.pushNode(node)
  interval ??= setInterval(fireOverdue, maxLatenessMs)
  return cancel
}

/** As `atDeadline`, with a deadline this many milliseconds from now. */
export const afterMs = (delayMs: number, callback: () => void): (() => void) =>
  atDeadline({ deadline: Date.now() + delayMs }, callback)
