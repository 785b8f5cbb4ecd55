import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, onTestFinished } from 'vitest'
import { createMetrics } from '#kernel/metrics.ts'
import { addProcessMetrics } from '#src/host/process-metrics.ts'

const folder = fileURLToPath(new URL('../../deploy/monitoring/', import.meta.url))

function promtool(args: readonly string[], input = ''): void {
  const { status, stdout, stderr } = spawnSync('promtool', args, { cwd: folder, input, encoding: 'utf8' })
  expect(status, `${stdout}${stderr}`).toBe(0)
}

it('promtool accepts the rules, and the configuration of Prometheus', () => {
  promtool(['check', 'rules', 'alerts.yml'])
  promtool(['check', 'config', '--syntax-only', 'prometheus.yml'])
})

it('each alert fires, and does not fire too early, in the tests of promtool', () => {
  promtool(['test', 'rules', 'alerts.test.yml', 'hours.test.yml'])
})

it('promtool parses every expression of the dashboard', () => {
  const { panels } = JSON.parse(readFileSync(join(folder, 'grafana/trivet.json'), 'utf8')) as {
    panels: { targets?: { expr: string }[] }[]
  }
  const rules = panels
    .flatMap(({ targets = [] }) => targets)
    .map(({ expr }, at) => ({ record: `panel:${at}`, expr: expr.replaceAll('$__rate_interval', '1m') }))
  expect(rules.length).toBeGreaterThan(30)
  const temporary = mkdtempSync(join(tmpdir(), 'trivet-rules-'))
  onTestFinished(() => rmSync(temporary, { recursive: true }))
  const file = join(temporary, 'panels.yml')
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'panels', rules }] }))
  promtool(['check', 'rules', file])
})

it('promtool finds no fault in metrics with labels that must be escaped', async () => {
  const metrics = createMetrics()
  addProcessMetrics(metrics)
  const labels = { text: 'a "quoted" \\ and\nbroken text' }
  metrics.counter({ name: 'trivet_things_total', help: 'Things' }, labels).add(3)
  metrics.histogram({ name: 'trivet_wait_seconds', help: 'Waits', buckets: [0.1, 1] }, labels).observe(0.5)
  promtool(['check', 'metrics'], (await metrics.scrape()).text)
})
