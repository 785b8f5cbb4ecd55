// Imports the products of a CSV file into a shop. It can be repeated: after a crash, it continues where it was.
import { parseArgs } from 'node:util'
import { signIn } from '../client/api.ts'
import { readCatalogue } from './catalogue.ts'
import { importProducts } from './import-products.ts'
import { openJournal } from './journal.ts'

const {
  SHOP_URL = 'http://localhost:3000',
  SHOP_ADMIN_EMAIL = 'admin@example.com',
  SHOP_ADMIN_PASSWORD = '',
} = process.env

const { positionals } = parseArgs({ allowPositionals: true })
const [path] = positionals
if (path === undefined || positionals.length > 1 || SHOP_ADMIN_PASSWORD === '') {
  console.error(
    'Usage: SHOP_ADMIN_PASSWORD=... node scripts/run.mjs examples/import-catalogue/main.ts FILE.csv',
  )
  process.exit(2)
}

/** One line that grows at a terminal, and no line elsewhere. */
function showProgress(done: number, all: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${all} products ${done === all ? '\n' : ''}`)
}

const lines = readCatalogue(path)
// Each shop has a journal of its own, beside the file.
const journal = openJournal(`${path}.${new URL(SHOP_URL).host.replace(':', '-')}.imported`)
const open = lines.filter(({ sku }) => !journal.has(sku))
const { created, replayed, refused } = await importProducts({
  signIn: () => signIn(SHOP_URL, SHOP_ADMIN_EMAIL, SHOP_ADMIN_PASSWORD),
  lines: open,
  journal,
  onProgress: (done) => showProgress(done, open.length),
})
for (const { lineNumber, reason } of refused) console.error(`line ${lineNumber}: ${reason}`)
console.log(
  `${created} created, ${replayed} created by an interrupted run, ${lines.length - open.length} imported before, ${refused.length} refused`,
)
process.exitCode = refused.length > 0 ? 1 : 0
