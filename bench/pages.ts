import type { BenchContext } from './context.ts'
import type { Program } from './programs.ts'
import { load, measureInTurn } from './rounds.ts'
import { atMost, type Ratio, type Target } from './scenario.ts'
import { type Measured, type Summary, summarizeRatio } from './statistics.ts'
import { formatCount, loadRow } from './tables.ts'

const pageSize = 20
const farPageNumber = 1_000

export interface List {
  name: string
  program: Program
  token?: string
  pages: Pages
}

/** The paths of three pages of a list. */
interface Pages {
  first: string
  second: string
  far: string
  farNumber: number
}

/** Follows the cursors to page 1,000, or to the last page. */
export async function followCursors(url: string, path: string, token?: string): Promise<Pages> {
  const first = `${path}?limit=${pageSize}`
  let second = first
  let far = first
  let farNumber = 1
  for (; farNumber < farPageNumber; farNumber++) {
    const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` }
    const response = await fetch(url + far, { headers })
    if (!response.ok) throw new Error(`${far} answered ${response.status}`)
    const { nextCursor } = (await response.json()) as { nextCursor: string | null }
    if (nextCursor === null) break
    far = `${first}&cursor=${nextCursor}`
    if (farNumber === 1) second = far
  }
  return { first, second, far, farNumber }
}

/** Each connection sends one request after the other, so that the time of a request is connections ÷ rate. */
export const summarizeTimeRatio = (
  samples: readonly Measured[] = [],
  baseline: readonly Measured[] = [],
): Summary => summarizeRatio('perSecond', baseline, samples)

/** Measures the first two pages of a list and a far one. The result has a ratio if the list has 1,000 pages. */
export async function measurePages(context: BenchContext, list: List, connections: number) {
  const { name, program, pages, token } = list
  const reading = (path: string) =>
    load(program, { workload: 'get', path, ...(token !== undefined && { token }) }, { connections })
  const title = `${name}, ${connections} connection${connections === 1 ? '' : 's'}`
  const samples = await measureInTurn(context, title, {
    'page 1': reading(pages.first),
    'page 2': reading(pages.second),
    'far page': reading(pages.far),
  })
  const farPage = `page ${formatCount(pages.farNumber)}`
  const ratio = summarizeTimeRatio(samples['far page'], samples['page 1'])
  const isFar = pages.farNumber === farPageNumber
  const ratios: Ratio[] = isFar ? [{ label: `time of a page of ${title}: ${farPage} ÷ page 1`, ratio }] : []
  // With several connections, requests share a query, so that its cost does not show.
  const targets: Target[] =
    isFar && connections === 1 ? [atMost(`Time of a page of ${title}: ${farPage} ÷ page 1`, 1.2, ratio)] : []
  return {
    ratios,
    targets,
    rows: [
      loadRow(`${title}: page 1`, samples['page 1']),
      loadRow(`${title}: page 2`, samples['page 2']),
      loadRow(`${title}: ${farPage}`, samples['far page']),
    ],
  }
}
