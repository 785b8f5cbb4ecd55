import { LinkedList } from './linked-list.ts'

// Milliseconds after its deadline that a wait may go on: every request has several waits, and hardly any comes to its
// end, so that one timer for all of them costs less than one each.
export const lateness = 10

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
 * Calls `end` at the deadline, up to 10 ms later.
 * @returns takes it back
 */
export function atDeadline({ deadline }: { deadline: number }, end: () => void): () => void {
  let isOver = false
  const takeBack = () => {
    if (isOver) return
    isOver = true
    waits.remove(place)
  }
  const place = waits.add({
    deadline,
    end() {
      if (isOver) return
      takeBack()
      end()
    },
  })
  clock ??= setInterval(endOverdue, lateness)
  return takeBack
}

/** As `atDeadline`, so many milliseconds from now. */
export const afterMs = (milliseconds: number, end: () => void): (() => void) =>
  atDeadline({ deadline: Date.now() + milliseconds }, end)
