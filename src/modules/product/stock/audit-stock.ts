import { type Audit, type Finding, maxFindings } from '#kernel/audit.ts'
import { createCall } from '#kernel/call.ts'
import type { BooksRepository, ProductBooks } from './books.repository.ts'
import type { StockRepository } from './stock.repository.ts'

/** As long as the server remembers the moment that the snapshot shows. Milliseconds. */
const limit = 300_000

/**
 * Holds the three accounts of every product against each other, deleted ones too: its `stock` plus all that is held is
 * its `stocked`, which is the sum of its ledger. All of it is read as of one moment, so that nothing that goes on
 * meanwhile looks like a fault.
 *
 * What two of the three agree on is right where the third is the sum of changes that a program made one by one: then
 * that one is set to what it has to be. With no two that agree, nobody can tell.
 */
export function auditStock({ books, stock }: { books: BooksRepository; stock: StockRepository }): Audit {
  /** No stock was put in or taken out by it, and that is what the ledger says of it. */
  const correct = (seen: ProductBooks, right: { stock: number; stocked: number }) => async () => {
    const change = (['stock', 'stocked'] as const)
      .filter((account) => seen[account] !== right[account])
      .map((account) => `${account} ${seen[account]} → ${right[account]}`)
      .join(', ')
    const { productId } = seen
    const done = await stock.transaction(createCall(30_000, 'audit'), async (transaction) => {
      if (!(await transaction.correct(seen, right))) return false
      const entry = { productId, change: 0, stock: right.stock, by: 'audit', reason: change }
      await transaction.record([entry], new Date())
      return true
    })
    return done ? change : undefined
  }

  const faultsOf = (seen: ProductBooks): Finding[] => {
    const { productId: subject, stock, stocked, held, answered, ledger } = seen
    const account = `stock ${stock} + held ${held}, stocked ${stocked}, ledger ${ledger}`
    const findings: Finding[] = []
    const find = (code: string, complaint: string, more: Partial<Finding> = {}) =>
      findings.push({ code, subject, message: `${complaint}: ${account}`, ...more })
    if (!seen.isWhole) {
      find('product_malformed', 'is not stored as products are', { oversells: true })
    } else if (held !== answered) {
      find('holds_malformed', `has holds that contradict themselves (${answered})`, { oversells: true })
    } else if (stock + held !== stocked) {
      if (ledger === stocked && stocked >= held) {
        const right = stocked - held
        const repair = correct(seen, { stock: right, stocked })
        find('stock_off', 'has another stock than it should', { repair, oversells: stock > right })
      } else if (ledger === stock + held) {
        const repair = correct(seen, { stock, stocked: ledger })
        find('stocked_off', 'counts other than what was put in', { repair })
      } else if (ledger === stocked) {
        find('oversold', 'has more held than was ever put in', { oversells: true })
      } else find('books_off', 'does not balance', { oversells: true })
    } else {
      if (ledger !== stocked) find('ledger_off', 'has another ledger than it should')
      if (stock < 0) find('stock_negative', 'has less than nothing in stock')
    }
    return findings
  }

  return {
    async inspect(subjects) {
      const findings: Finding[] = []
      const { products, unknown } = await books.read(
        (seen) => {
          if (findings.length < maxFindings) findings.push(...faultsOf(seen))
        },
        subjects,
        createCall(limit, 'audit'),
      )
      for (const { productId, held } of unknown) {
        const message = `${held} of it are held, and there is no such product`
        findings.push({ code: 'hold_of_unknown_product', subject: productId, message })
      }
      return { checked: { products }, findings, complete: findings.length < maxFindings }
    },
  }
}
