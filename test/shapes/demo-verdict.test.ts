import { describe, expect, it } from 'vitest'
import { plain } from '../../examples/demo/lines.ts'
import { createSale, unitCount } from '../../examples/demo/sale.ts'
import type { AuditReport } from '../../examples/demo/shop.ts'
import { judge } from '../../examples/demo/verdict.ts'
import { columns, draw } from '../../examples/demo/view.ts'

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
