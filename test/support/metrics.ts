import type { Client } from './client.ts'

/** Asks a process for its metrics. Returns the value of each series, by its name with its labels as the text format writes them. */
export async function scrape({ get }: Pick<Client, 'get'>): Promise<Map<string, number>> {
  const { body } = await get('/metrics')
  const lines: string[] = String(body)
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line): [string, number] => {
      const space = line.lastIndexOf(' ')
      return [line.slice(0, space), Number(line.slice(space + 1))]
    }),
  )
}
