import { Writable } from 'node:stream'

const maxKept = 10
let kept: string[] = []

interface Line {
  msg: string
  method?: string
  route?: string
  err?: { message: string; stack?: string }
}

/** The output of a logger that prints nothing. The errors in its lines are kept for `print-logged-errors.ts`. */
export const loggedErrors = new Writable({
  decodeStrings: false,
  write(line: string, _encoding, done) {
    const { msg, method, route, err } = JSON.parse(line) as Line
    if (err) {
      const what = [method, route, msg].filter((part) => part !== undefined).join(' ')
      kept = [...kept.slice(1 - maxKept), `${what}: ${err.stack ?? err.message}`]
    }
    done()
  },
})

/** Returns the last errors that were logged since the last call. */
export function takeLoggedErrors(): string[] {
  const taken = kept
  kept = []
  return taken
}
