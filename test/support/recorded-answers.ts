import { appendFileSync } from 'node:fs'
import { join } from 'node:path'

/** The folder in which `npm test` collects which operations were answered with which status. Unset in other runs. */
const folder = process.env.TRIVET_ANSWERS

const recorded = new Set<string>()

/** Records the status of an answer of the program, once for each path without its ids. */
export function recordAnswer(method: string, path: string, status: number): void {
  if (folder === undefined) return
  // Percent-encoded forms of a path belong to the tests of routing.
  if (path.includes('%')) return
  const [pathname = ''] = path.replace(/[0-9a-f]{24}/g, '{id}').split('?')
  const answer = `${status} ${method} ${pathname.slice(0, 200)}\n`
  if (recorded.has(answer)) return
  recorded.add(answer)
  // Each process of a test run has a file of its own. A whole line is appended, so that a killed process loses nothing.
  appendFileSync(join(folder, `${process.pid}.txt`), answer)
}

type Send = (path: string, init: RequestInit) => Promise<Response> | Response

/** Records the status of every answer to what `send` sends. */
export const recordAnswers =
  (send: Send): Send =>
  async (path, init) => {
    const response = await send(path, init)
    recordAnswer(init.method ?? 'GET', path, response.status)
    return response
  }
