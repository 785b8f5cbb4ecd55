import { type Audit, type Finding, maxFindings } from '#kernel/audit.ts'
import { createCall } from '#kernel/call.ts'
import type { BooksRepository } from './books.repository.ts'
import type { StockRepository } from './stock.repository.ts'
import type { ProductBooks } from './stock.ts'

// MongoDB keeps the snapshot for this time by default.
const auditTimeoutMs = 300_000
const repairTimeoutMs = 30_000

/**
 * Checks the books of every product, including deleted ones: `stock` plus all holds, `stocked`, and the sum of the ledger must be
 * equal. All books are read from one snapshot, so that concurrent operations cause no finding.
 *
 * A finding can be repaired if two of these three figures agree, and the third one is a field of the product. The repair sets
 * that field. If no two figures agree, the right ones are unknown. If the books balance, `inStock` is checked and repaired too.
 */
export function auditStock({ books, stock }: { books: BooksRepository; stock: StockRepository }): Audit {
  return {
    async inspect(productIds) {
      const { products, findings, holdsOfUnknownProducts } = await books.read(
        (read) => findFaults(stock, read),
        { productIds, limit: maxFindings },
        createCall(auditTimeoutMs, 'audit'),
      )
      for (const { productId, held } of holdsOfUnknownProducts) {
        const message = `does not exist, and orders hold ${held} of it`
        findings.push({ code: 'hold_of_unknown_product', subject: productId, message })
      }
      return { checked: { products }, findings, complete: findings.length < maxFindings }
    },
  }
}

type Fault = Omit<Finding, 'subject'>

function findFaults(stock: StockRepository, read: ProductBooks): Finding[] {
  const figures = `stock ${read.stock} + held ${read.held}, stocked ${read.stocked}, ledger ${read.ledger}`
  return findFaultsOfBooks(stock, read).map((fault) => ({
    ...fault,
    subject: read.productId,
    message: `${fault.message}: ${figures}`,
  }))
}

function findFaultsOfBooks(stock: StockRepository, read: ProductBooks): Fault[] {
  if (!read.isWellFormed) {
    return [{ code: 'product_malformed', message: 'the stored document is corrupt', oversells: true }]
  }
  if (read.held !== read.answered) {
    const message = `its holds contradict themselves (${read.answered} were answered)`
    return [{ code: 'holds_malformed', message, oversells: true }]
  }
  if (read.stock + read.held !== read.stocked) return [findImbalance(stock, read)]
  const faults: Fault[] = []
  if (read.ledger !== read.stocked) faults.push({ code: 'ledger_off', message: 'the ledger is wrong' })
  if (read.stock < 0) faults.push({ code: 'stock_negative', message: 'the stock is negative' })
  if (faults.length === 0 && !read.hasRightMark) {
    const message = 'inStock does not say whether there is stock'
    faults.push({ code: 'in_stock_off', message, repair: () => correctMark(stock, read) })
  }
  return faults
}

/** @param read its `stock` plus its holds differ from its `stocked` */
function findImbalance(stock: StockRepository, read: ProductBooks): Fault {
  const { stock: stockRead, stocked, held, ledger } = read
  if (ledger === stocked && stocked >= held) {
    const correctStock = stocked - held
    return {
      code: 'stock_off',
      message: 'the stock is wrong',
      oversells: stockRead > correctStock,
      repair: () => correct(stock, read, { stock: correctStock, stocked }),
    }
  }
  if (ledger === stockRead + held) {
    return {
      code: 'stocked_off',
      message: 'the quantity put in is wrong',
      repair: () => correct(stock, read, { stock: stockRead, stocked: ledger }),
    }
  }
  if (ledger === stocked) {
    return { code: 'oversold', message: 'orders hold more than was ever put in', oversells: true }
  }
  return { code: 'books_off', message: 'no two figures agree', oversells: true }
}

/**
 * Corrects the figures of a product. The ledger gets an entry with the change 0, because no stock was put in or taken out.
 * @returns the changes; undefined if the product has changed since it was read
 */
async function correct(
  stock: StockRepository,
  read: ProductBooks,
  corrected: { stock: number; stocked: number },
): Promise<string | undefined> {
  const changes = (['stock', 'stocked'] as const)
    .filter((figure) => read[figure] !== corrected[figure])
    .map((figure) => `${figure} ${read[figure]} → ${corrected[figure]}`)
    .join(', ')
  const { productId } = read
  const isDone = await stock.transaction(createCall(repairTimeoutMs, 'audit'), async (transaction) => {
    if (!(await transaction.correctBooks(read, corrected))) return false
    const entry = { productId, change: 0, stock: corrected.stock, by: 'audit', reason: changes }
    await transaction.addLedgerEntries([entry], new Date())
    return true
  })
  return isDone ? changes : undefined
}

/** Corrects `inStock`. The ledger gets no entry, because no figure of the books changes. */
async function correctMark(stock: StockRepository, read: ProductBooks): Promise<string | undefined> {
  const unchanged = { stock: read.stock, stocked: read.stocked }
  const isDone = await stock.transaction(createCall(repairTimeoutMs, 'audit'), (transaction) =>
    transaction.correctBooks(read, unchanged),
  )
  return isDone ? `inStock → ${read.stock > 0}` : undefined
}
