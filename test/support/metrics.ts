import type { Client } from './client.ts'

/** The value of each series of a scrape, by its name with its labels as the text format writes them. */
export type Series = ReadonlyMap<string, number>

export function seriesOf(text: string): Series {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line): [string, number] => {
      const space = line.lastIndexOf(' ')
      return [line.slice(0, space), Number(line.slice(space + 1))]
    }),
  )
}

/** Asks a process for its metrics. */
export const scrape = async ({ get }: Pick<Client, 'get'>): Promise<Series> =>
  seriesOf((await get('/metrics')).body)
