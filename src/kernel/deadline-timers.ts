import { LinkedList } from './linked-list.ts'

// A wait ends at most this long after its deadline. One interval serves all waits, because each request has several and almost
// none reaches its deadline: a timer for each would cost more.
export const maxLatenessMs = 10

interface Wait {
  readonly deadline: number
  end(): void
}
const waits = new LinkedList<Wait>()
let clock: NodeJS.Timeout | undefined

function endOverdue(): void {
  const now = Date.now()
  const overdue = [...waits].filter(({ value }) => value.deadline <= now)
  for (const { value } of overdue) value.end()
  if (waits.size > 0) return
  clearInterval(clock)
  clock = undefined
}

/**
 * Calls `end` at the deadline, or up to 10 ms later.
 * @returns a function that cancels the call
 */
export function atDeadline({ deadline }: { deadline: number }, end: () => void): () => void {
  let isOver = false
  const cancel = () => {
    if (isOver) return
    isOver = true
    waits.remove(place)
  }
  const place = waits.add({
    deadline,
    end() {
      if (isOver) return
      cancel()
      end()
    },
  })
  clock ??= setInterval(endOverdue, maxLatenessMs)
  return cancel
}

/** As `atDeadline`, with a deadline this many milliseconds from now. */
export const afterMs = (milliseconds: number, end: () => void): (() => void) =>
  atDeadline({ deadline: Date.now() + milliseconds }, end)
