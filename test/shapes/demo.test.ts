import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, type TestContext, vi } from 'vitest'
import { outputOf } from '#test/support/output.ts'
import { scriptEnvironment } from '#test/support/processes.ts'
import { plain } from '../../examples/demo/lines.ts'
import { createSale, unitCount } from '../../examples/demo/sale.ts'
import type { AuditReport } from '../../examples/demo/shop.ts'
import { judge } from '../../examples/demo/verdict.ts'
import { columns, draw } from '../../examples/demo/view.ts'

const script = fileURLToPath(new URL('../../examples/demo/main.ts', import.meta.url))

// The demo takes half a minute on a quiet machine, and several times as long on a busy one.
const timeout = 300_000

/** Starts the demo with a folder for its temporary files, and returns what is left in the folder when the demo has ended. */
async function startDemo({ onTestFinished }: TestContext, ...args: string[]) {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-demo-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const env = { ...scriptEnvironment, TMPDIR: folder }
  const child: ChildProcess = spawn(process.execPath, [script, ...args], { env })
  const output = outputOf(child)
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  return { folder, child, output, ended, left: () => readdir(folder) }
}

it('the demo kills product and order while buyers order, keeps every promise, records itself and leaves nothing behind', {
  timeout,
}, async (context) => {
  const recording = join(await mkdtemp(join(tmpdir(), 'trivet-recording-')), 'demo.svg')
  context.onTestFinished(() => rm(join(recording, '..'), { recursive: true, force: true }))
  const demo = await startDemo(context, '--plain', '--record', recording)
  expect(await demo.ended, demo.output()).toBe(0)
  const output = demo.output()
  for (const service of ['product', 'order']) {
    expect(output).toMatch(new RegExp(`kill -9 \\d+ \\(${service}\\), while [1-9]\\d* buyers are ordering`))
    expect(output).toMatch(new RegExp(`${service} is ready again \\(process \\d+\\)`))
  }
  expect(output.match(/^kept {4}.*$/gm)).toEqual([
    expect.stringMatching(/No piece is sold twice: 50 sold and 0 left of 50$/),
    expect.stringMatching(/One key, one order: [1-9]\d* repeated requests, 0 second orders$/),
    expect.stringMatching(/No acknowledged order is lost: 50 of 50 orders are confirmed$/),
    expect.stringMatching(/No stock is stuck: 0 pieces left or held, 150 buyers too late$/),
    expect.stringMatching(/Every piece is accounted for: 0 findings in 2\d\d orders, 50 holds, 1 product$/),
  ])
  expect(output).toMatch(/^5 of 5 promises were kept, in \d+ s/m)
  expect(await demo.left()).toEqual([])

  const svg = await readFile(recording, 'utf8')
  expect(svg.match(/<g transform/g)?.length).toBeGreaterThan(20)
  expect(svg).toContain('No piece is sold twice')
  expect(svg).not.toContain('<script')
})

it('an interrupted demo ends its processes and leaves nothing behind', { timeout }, async (context) => {
  const demo = await startDemo(context, '--plain')
  await vi.waitFor(() => expect(demo.output()).toContain('kill -9'), { timeout: 200_000 })
  demo.child.kill('SIGINT')
  expect(await demo.ended).toBe(130)
  expect(await demo.left()).toEqual([])
})

describe('the verdict', () => {
  /** A sale in which the first 50 buyers have bought, and what the shop then has. */
  function endedSale() {
    const sale = createSale()
    sale.stock = 0
    const confirmed = sale.buyers.map((buyer, number) => {
      const hasBought = number < unitCount
      buyer.state = hasBought ? 'bought' : 'refused'
      const orderIds = hasBought ? [`order-${number}`] : []
      buyer.orderIds = new Set(orderIds)
      return new Set(orderIds)
    })
    const audit: AuditReport = { checked: { orders: 200 }, complete: true, findings: [] }
    return { sale, confirmed, audit }
  }
  type Ended = ReturnType<typeof endedSale>
  const brokenIn = ({ sale, audit, confirmed }: Ended) =>
    judge(sale, audit, confirmed)
      .promises.filter(({ isKept }) => !isKept)
      .map(({ promise }) => promise)

  it('a sale as promised breaks nothing', () => {
    expect(brokenIn(endedSale())).toEqual([])
  })

  it('the view shows the evidence of each promise completely', () => {
    const { sale, confirmed, audit } = endedSale()
    sale.retries = 1_999
    sale.verdict = judge(sale, { ...audit, checked: { orders: 999, holds: 50, products: 1 } }, confirmed)
    const lines = draw(sale, 59_900).map((line) => plain(line).trimEnd())
    expect(lines.filter((line) => line.length > columns)).toEqual([])
  })

  it.each<[string, (ended: Ended) => void, string[]]>([
    [
      'a 51st piece is sold',
      ({ sale, confirmed }) => {
        confirmed[60]?.add('another')
        sale.buyers[60]?.orderIds.add('another')
      },
      ['No piece is sold twice', 'No stock is stuck'],
    ],
    [
      'a buyer has a second order that only the shop knows',
      ({ confirmed }) => {
        confirmed[1]?.clear()
        confirmed[0]?.add('another')
      },
      ['One key, one order', 'No acknowledged order is lost'],
    ],
    [
      'an acknowledged order is gone, and its piece is back',
      ({ sale, confirmed }) => {
        confirmed[0]?.clear()
        sale.stock = 1
      },
      ['No acknowledged order is lost', 'No stock is stuck'],
    ],
    [
      'buyers are refused while pieces are left',
      ({ sale, confirmed }) => {
        for (const buyer of sale.buyers) buyer.orderIds.clear()
        for (const orderIds of confirmed) orderIds.clear()
        sale.stock = unitCount
      },
      ['No stock is stuck'],
    ],
    [
      'the stock is unknown',
      ({ sale }) => {
        sale.stock = undefined
      },
      ['No piece is sold twice'],
    ],
    [
      'the audit has a finding',
      ({ audit }) => {
        audit.findings.push({ message: 'wrong' })
      },
      ['Every piece is accounted for'],
    ],
    [
      'the audit was not complete',
      ({ audit }) => {
        audit.complete = false
      },
      ['Every piece is accounted for'],
    ],
  ])('%s', (_, change, broken) => {
    const ended = endedSale()
    change(ended)
    expect(brokenIn(ended)).toEqual(broken)
  })
})
