import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { registry } from '#src/registry.ts'
import { audit } from '#test/support/audit-command.ts'
import { bothShapes, deployBothShapes } from '#test/support/both-shapes.ts'
import { scrape } from '#test/support/metrics.ts'
import { processEnvironment } from '#test/support/processes.ts'
import { sendRaw } from '#test/support/raw-http.ts'
import { documentedMetrics, metricsIn, scrapeEach, scrapeProcess } from './scrapes.ts'

const modules = registry.map(({ name }) => name)
let shops: Awaited<ReturnType<typeof deployBothShapes>>
/** The metrics of each process, by its shape and its modules, and those of the audit. */
const texts = new Map<string, string>()

beforeAll(async () => {
  shops = await deployBothShapes({})
  for (const shape of bothShapes) {
    for (const [hosted, text] of await scrapeEach(shops.deployments[shape])) {
      texts.set(`${shape}: ${hosted}`, text)
    }
  }
  const { code, stdout, stderr } = await audit(processEnvironment(), '--metrics')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  texts.set('audit', stdout)
}, 120_000)
afterAll(() => shops.stop())

it('every process of both shapes has metrics of its own', () => {
  expect([...texts.keys()].sort()).toEqual([
    'audit',
    `one process: ${modules.join()}`,
    ...modules.map((name) => `split: ${name}`).sort(),
  ])
  const circuits = (process: string) =>
    [...(texts.get(process) ?? '').matchAll(/^trivet_circuit_open\{target="(\w+)"\}/gm)].map(([, to]) => to)
  expect(circuits('split: order').sort()).toEqual(['auth', 'database', 'product'])
  expect(circuits('split: product').sort()).toEqual(['auth', 'database'])
})

it('every metric has a help text, the suffix of its unit, and a row with its type in docs/metrics.md', async () => {
  const documented = await documentedMetrics()
  const found = metricsIn(texts.values())
  expect([...found.keys()].sort()).toEqual([...documented.keys()].sort())
  const units =
    /_(seconds|bytes|fds|connections|operations|requests|findings|documents|timestamp_seconds)$|_(circuit_open|primary|complete)$/
  for (const [name, { help, type }] of found) {
    expect(name).toMatch(/^(trivet|nodejs|process)_[a-z_]+$/)
    expect(help, name).toMatch(/^[A-Z1].{10,}[^.]$/)
    expect(documented.get(name), name).toBe(type)
    expect(name.endsWith('_total'), name).toBe(type === 'counter')
    if (type !== 'counter') expect(name).toMatch(units)
  }
})

it('no histogram has more than eight buckets beside the one without a bound', () => {
  for (const [process, text] of texts) {
    const buckets = new Map<string, number>()
    for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)_bucket\{(.*)le="[\d.]+"\}/gm)) {
      const series = `${name} ${labels}`
      buckets.set(series, (buckets.get(series) ?? 0) + 1)
    }
    for (const [series, count] of buckets) expect(count, `${process}: ${series}`).toBeLessThanOrEqual(8)
  }
})

it('a request that is refused before it reaches the application is counted by its problem', async () => {
  const shop = shops.deployments['one process']
  const refused = async () =>
    (await scrape(shop)).get('trivet_http_refused_requests_total{code="validation_failed"}')
  const before = (await refused()) ?? Number.NaN
  expect((await sendRaw(shop.url, 'nonsense\r\n\r\n')).status).toBe(400)
  expect(await refused()).toBe(before + 1)
})

/** The commands of the runbook that search the metrics of a process. */
const searches = [
  ...(await readFile(new URL('../../docs/runbook.md', import.meta.url), 'utf8')).matchAll(
    /localhost:8081\/metrics \| (grep [^`\n]+)/g,
  ),
].map(([, command = '']) => command)

it('the circuit to a service that does not answer is open, and closed when the service answers again', async () => {
  const shop = shops.deployments.split
  // The first registration loads the password dictionaries, which may take longer than a request.
  const { token } = await vi.waitFor(() => shop.customer(), { timeout: 20_000 })
  const { productId } = await shop.product(shop.adminToken)
  const order = () => shop.order(token, [{ productId, quantity: 1 }])
  const open = async () => (await scrapeProcess(shop, 'order')).get('trivet_circuit_open{target="product"}')
  expect((await order()).status).toBe(201)
  expect(await open()).toBe(0)
  let isOver = false
  const buyer = async () => {
    while (!isOver) {
      await order()
      await sleep(50)
    }
  }
  process.kill(shop.pids.product ?? Number.NaN, 'SIGSTOP')
  const buyers = Promise.all(Array.from({ length: 8 }, buyer))
  try {
    await vi.waitFor(async () => expect(await open()).toBe(1), { timeout: 25_000, interval: 50 })
  } finally {
    process.kill(shop.pids.product ?? Number.NaN, 'SIGCONT')
  }
  await vi.waitFor(async () => expect(await open()).toBe(0), { timeout: 15_000, interval: 50 })
  isOver = true
  await buyers
}, 60_000)

it('every search of the runbook finds metrics of a process', async () => {
  const input = [...(await scrapeEach(shops.deployments.split)).values()].join('\n')
  expect(searches.length).toBeGreaterThan(8)
  for (const command of searches) {
    const { status, stdout } = spawnSync('sh', ['-c', command], { input, encoding: 'utf8' })
    expect({ command, status }).toEqual({ command, status: 0 })
    expect(stdout.length).toBeGreaterThan(0)
  }
})
