import { appendFileSync, existsSync, readFileSync } from 'node:fs'

/** The products that are imported already, by SKU, in a file beside the catalogue. */
export interface Journal {
  has(sku: string): boolean
  add(sku: string, productId: string): void
}

/** Each line of the file has the id of a product and its SKU. A crash may leave the last line incomplete. */
export function openJournal(path: string): Journal {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  if (text !== '' && !text.endsWith('\n')) appendFileSync(path, '\n')
  const imported = new Set([...text.matchAll(/^[0-9a-f]{24} (\S+)\n/gm)].map(([, sku]) => sku))
  return {
    has: (sku) => imported.has(sku),
    add(sku, productId) {
      appendFileSync(path, `${productId} ${sku}\n`)
      imported.add(sku)
    },
  }
}
