import { readFileSync } from 'node:fs'
import { parse } from 'csv-parse/sync'
import type { Schemas } from '../client/api.ts'

/** A line of the file. Each product has a SKU of its own: the stock keeping unit by which your other systems know it. */
export interface CatalogueLine {
  lineNumber: number
  sku: string
  product: Schemas['ProductDraft']
}

const columns = ['sku', 'name', 'description', 'price', 'stock']

/**
 * Reads a CSV file whose first line names the columns.
 * @throws Error if a column is missing, or if two lines have the same SKU
 */
export function readCatalogue(path: string): CatalogueLine[] {
  const rows = parse(readFileSync(path), {
    bom: true,
    columns: checkHeader,
    info: true,
    skip_empty_lines: true,
    trim: true,
  }) as unknown as { record: Record<string, string>; info: { lines: number } }[]
  const lines = rows.map(({ record: { sku = '', name = '', description = '', price, stock }, info }) => ({
    lineNumber: info.lines,
    sku,
    // The shop checks the values. It refuses a price or a stock that is no number.
    product: { name, description, price: Number(price || NaN), stock: Number(stock || NaN) },
  }))
  checkSkus(lines)
  return lines
}

function checkHeader(header: string[]): string[] {
  const missing = columns.filter((column) => !header.includes(column))
  if (missing.length > 0) throw new Error(`the first line has no column ${missing.join(', ')}`)
  return header
}

function checkSkus(lines: readonly CatalogueLine[]): void {
  const first = new Map<string, number>()
  for (const { sku, lineNumber } of lines) {
    if (!/^[\x21-\x7e]{1,200}$/.test(sku))
      throw new Error(`line ${lineNumber}: a sku has 1 to 200 visible ASCII characters`)
    const earlier = first.get(sku)
    if (earlier !== undefined) throw new Error(`lines ${earlier} and ${lineNumber} have the same sku ${sku}`)
    first.set(sku, lineNumber)
  }
}
