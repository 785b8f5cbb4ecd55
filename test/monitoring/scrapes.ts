import { readFile } from 'node:fs/promises'
import { type Series, seriesOf } from '#test/support/metrics.ts'
import type { Deployment } from '#test/support/processes.ts'

/** The text of the metrics of each process of a deployment, by the modules that it hosts. */
export async function scrapeEach({ output }: Pick<Deployment, 'output'>): Promise<Map<string, string>> {
  // Each process logs the modules that it hosts and its port.
  const ready = output().matchAll(/"hosted":\[([^\]]+)\],"port":(\d+)/g)
  const texts = new Map<string, string>()
  for (const [, hosted = '', port] of ready) {
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`)
    if (answer.status !== 200) throw new Error(`${hosted}: ${answer.status}`)
    texts.set(hosted.replaceAll('"', ''), await answer.text())
  }
  return texts
}

export const scrapeSeries = async (shop: Pick<Deployment, 'output'>): Promise<Map<string, Series>> =>
  new Map([...(await scrapeEach(shop))].map(([hosted, text]) => [hosted, seriesOf(text)]))

/** The help and the type of each metric in texts of metrics. */
export function metricsIn(texts: Iterable<string>): Map<string, { help: string; type: string }> {
  const found = new Map<string, { help: string; type: string }>()
  for (const text of texts) {
    for (const [, name = '', help = '', type = ''] of text.matchAll(/# HELP (\S+) (.*)\n# TYPE \1 (\w+)/g)) {
      found.set(name, { help, type })
    }
  }
  return found
}

/** The type of each metric that docs/metrics.md describes. */
export async function documentedMetrics(): Promise<Map<string, string>> {
  const page = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
  const rows = page.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)
  return new Map([...rows].map(([, name = '', type = '']): [string, string] => [name, type]))
}
