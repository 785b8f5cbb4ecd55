import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { documentedMetrics } from './scrapes.ts'

interface Rule {
  record?: string
  alert?: string
  expr: string
  labels?: { severity?: string }
  annotations?: { summary?: string; runbook?: string }
}
interface Panel {
  type: string
  title: string
  targets?: { expr: string }[]
}

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')
const rules = (
  parse(await read('deploy/monitoring/alerts.yml')) as { groups: { rules: Rule[] }[] }
).groups.flatMap((group) => group.rules)
const alerts = rules.filter(({ alert }) => alert !== undefined)
const dashboard = JSON.parse(await read('deploy/monitoring/grafana/trivet.json')) as { panels: Panel[] }
const runbook = await read('docs/runbook.md')

/** The metrics that Prometheus itself and the node exporter have. */
const ofOthers = ['up', 'node_filesystem_avail_bytes', 'node_filesystem_size_bytes']

/** The names of metrics in an expression, without the suffixes of a histogram's series. */
const metricsOf = (expression: string): string[] =>
  [
    ...expression
      .replace(/"[^"]*"/g, '')
      .matchAll(/\b(?:trivet|nodejs|process|node|up)\b[\w:]*|\b(?:trivet|nodejs|process|node)_\w+/g),
  ].map(([name]) => name)

it('every metric of the alerts, the dashboard and the runbook exists', async () => {
  const documented = await documentedMetrics()
  const recorded = rules.flatMap(({ record }) => record ?? [])
  const isKnown = (name: string) => {
    const plain = name.replace(/_(bucket|sum|count)$/, '')
    const isHistogram = documented.get(plain) === 'histogram'
    return [...recorded, ...ofOthers].includes(name) || (isHistogram ? plain !== name : documented.has(name))
  }
  const expressions = [
    ...rules.map(({ expr }) => expr),
    ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...[...runbook.matchAll(/promtool query instant \S+ '([^']+)'/g)].map(
      ([, expression = '']) => expression,
    ),
  ]
  expect(expressions.length).toBeGreaterThan(50)
  for (const expression of expressions) {
    const names = metricsOf(expression)
    if (expression.startsWith('vector(')) continue
    expect(names.length, expression).toBeGreaterThan(0)
    for (const name of names) expect(isKnown(name), `${name} in ${expression}`).toBe(true)
  }
})

interface RuleTests {
  tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[]
}

it('every alert has a severity, a summary, a section in the runbook, and a test that fires it', async () => {
  const testFiles = await Promise.all(
    ['alerts', 'hours'].map((name) => read(`deploy/monitoring/${name}.test.yml`)),
  )
  const fired = testFiles
    .map((text) => parse(text) as RuleTests)
    .flatMap(({ tests }) => tests)
    .flatMap(({ alert_rule_test }) => alert_rule_test)
    .filter(({ exp_alerts }) => exp_alerts.length > 0)
    .map(({ alertname }) => alertname)
  expect(new Set(fired)).toEqual(new Set(alerts.map(({ alert }) => alert)))
  const sections = [...runbook.matchAll(/^## (Trivet\w+)$/gm)].map(([, name]) => name)
  expect(sections.sort()).toEqual(alerts.map(({ alert }) => alert).sort())
  for (const { alert = '', labels, annotations } of alerts) {
    expect(['page', 'ticket'], alert).toContain(labels?.severity)
    expect(annotations?.summary, alert).toMatch(/^\S.{10,}[^.]$/)
    expect(annotations?.runbook).toBe(`docs/runbook.md#${alert.toLowerCase()}`)
  }
})

it('the links within the runbook lead to its sections', () => {
  const anchors = new Set(
    [...runbook.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    ),
  )
  const links = [...runbook.matchAll(/\]\(#([\w-]+)\)/g)].map(([, anchor]) => anchor)
  expect(links.length).toBeGreaterThan(5)
  for (const anchor of links) expect(anchors).toContain(anchor)
})

it('the dashboard has a row for customers, one for each module, and one for MongoDB and the process', () => {
  const rows = dashboard.panels.filter(({ type }) => type === 'row').map(({ title }) => title)
  expect(rows).toEqual(['Customers', 'Auth', 'Product', 'Order', 'MongoDB and the process'])
  for (const { type, title, targets = [] } of dashboard.panels) {
    if (type !== 'row') expect(targets.length, title).toBeGreaterThan(0)
  }
})
