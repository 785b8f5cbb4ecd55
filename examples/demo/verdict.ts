import { countBuyers, type Sale, unitCount, type Verdict } from './sale.ts'
import type { AuditReport } from './shop.ts'

/**
 * Compares what was promised with what has happened.
 * @param confirmed the ids of the confirmed orders of each buyer, as the shop has them
 */
export function judge(sale: Sale, audit: AuditReport, confirmed: readonly ReadonlySet<string>[]): Verdict {
  const { buyers, stock = Number.NaN, retries, repeats } = sale
  const sold = confirmed.reduce((sum, orderIds) => sum + orderIds.size, 0)
  const doubled = confirmed.filter((orderIds) => orderIds.size > 1).length
  const told = buyers.flatMap(({ orderIds }, number) => [...orderIds].map((orderId) => ({ number, orderId })))
  const lost = told.filter(({ number, orderId }) => !confirmed[number]?.has(orderId)).length
  const checked = Object.entries(audit.checked).map(
    ([kind, count]) => `${count} ${count === 1 ? kind.replace(/s$/, '') : kind}`,
  )
  return {
    promises: [
      {
        promise: 'No piece is sold twice',
        isKept: sold + stock === unitCount,
        evidence: `${sold} sold and ${stock} left of ${unitCount}`,
      },
      {
        promise: 'One key, one order',
        isKept: doubled === 0,
        evidence: `${retries + repeats} repeated requests, ${doubled} second orders`,
      },
      {
        promise: 'No acknowledged order is lost',
        isKept: lost === 0,
        evidence: `${told.length - lost} of ${told.length} orders are confirmed`,
      },
      {
        promise: 'No stock is stuck',
        isKept: sold === Math.min(unitCount, buyers.length),
        evidence: `${unitCount - sold} pieces left or held, ${countBuyers(sale, 'refused')} buyers too late`,
      },
      {
        promise: 'Every piece is accounted for',
        isKept: audit.complete && audit.findings.length === 0,
        evidence: `${audit.findings.length} findings in ${checked.join(', ')}`,
      },
    ],
  }
}
