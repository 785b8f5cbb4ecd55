import { readFile } from 'node:fs/promises'
import { type Series, seriesOf } from '#test/support/metrics.ts'
import type { Deployment } from '#test/support/processes.ts'

type Output = Pick<Deployment, 'output'>

/** The port of each process of a deployment, by the modules that it hosts. Each process logs both. */
function portsIn({ output }: Output): Map<string, string> {
  const ready = output().matchAll(/"hosted":\[([^\]]+)\],"port":(\d+)/g)
  return new Map([...ready].map(([, hosted = '', port = '']) => [hosted.replaceAll('"', ''), port]))
}

async function scrapePort(port: string | undefined): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`)
  if (answer.status !== 200) throw new Error(`port ${port}: ${answer.status}`)
  return answer.text()
}

/** The text of the metrics of each process of a deployment, by the modules that it hosts. */
export async function scrapeEach(shop: Output): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  for (const [hosted, port] of portsIn(shop)) texts.set(hosted, await scrapePort(port))
  return texts
}

/** The metrics of the process that hosts these modules. */
export const scrapeProcess = async (shop: Output, hosted: string): Promise<Series> =>
  seriesOf(await scrapePort(portsIn(shop).get(hosted)))

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
