import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type Deployment, deploy } from '#test/support/processes.ts'
import { root, runProgram } from '#test/support/run-program.ts'
import { admin } from '#test/support/shop.ts'

const folder = join(root, 'examples/import-catalogue')
const program = join(folder, 'main.ts')

let shop: Deployment
let work: string
let environment: Record<string, string>
beforeAll(async () => {
  shop = await deploy('one process', { DEMO: 'false', REQUEST_TIMEOUT: '20s' })
  environment = {
    SHOP_URL: shop.url,
    SHOP_ADMIN_EMAIL: admin.email,
    SHOP_ADMIN_PASSWORD: admin.password,
  }
})
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'trivet-import-'))
  return () => rm(work, { recursive: true })
})
afterAll(() => shop.stop())

const importFile = (file: string) => runProgram(process.execPath, [program, file], environment)

/** The names of the products that have this word in their names, one for each product. */
async function namesWith(word: string): Promise<string[]> {
  const names: string[] = []
  let cursor: string | null = null
  do {
    const page: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const { body } = await shop.get(`/products?limit=100&sort=name${page}`)
    names.push(...body.data.map(({ name }: { name: string }) => name))
    cursor = body.nextCursor
  } while (cursor !== null)
  return names.filter((name) => name.includes(word))
}

/** Writes a catalogue in which each product has a name with this word. */
async function writeCatalogue(word: string, count: number): Promise<{ file: string; names: string[] }> {
  const names = Array.from({ length: count }, (_, at) => `${word} ${String(at).padStart(4, '0')}`)
  const rows = names.map((name, at) => `${word}-${at},${name},,1.50,7`)
  const file = join(work, 'products.csv')
  await writeFile(file, ['sku,name,description,price,stock', ...rows, ''].join('\n'))
  return { file, names }
}

async function journalOf(): Promise<string> {
  const name = (await readdir(work)).find((entry) => entry.endsWith('.imported'))
  return name === undefined ? join(work, 'none') : join(work, name)
}
const journalText = async () => readFile(await journalOf(), 'utf8').catch(() => '')

it('the example catalogue is imported once, however often the import runs', async () => {
  const file = join(work, 'products.csv')
  await copyFile(join(folder, 'products.csv'), file)
  expect(await importFile(file)).toBe(
    '6 created, 0 created by an interrupted run, 0 imported before, 0 refused',
  )
  expect(await importFile(file)).toBe(
    '0 created, 0 created by an interrupted run, 6 imported before, 0 refused',
  )
  const { body } = await shop.get('/products?q=filters')
  expect(body.data).toMatchObject([
    { name: 'Filters "size 4"', description: 'Unbleached, one hundred', price: 4.2, stock: 400 },
  ])
})

it('an import that is killed is completed by the next run, and creates no product twice', async () => {
  const { file, names } = await writeCatalogue('Killed', 400)
  const child = spawn(process.execPath, [program, file], { env: { ...process.env, ...environment } })
  const ended = once(child, 'exit')
  while ((await journalText()).split('\n').length < 40) await sleep(2)
  child.kill('SIGKILL')
  expect(await ended).toEqual([null, 'SIGKILL'])
  const before = (await journalText()).split('\n').length
  expect(before).toBeLessThan(names.length)
  await importFile(file)
  expect(await namesWith('Killed')).toEqual(names)
})

it('products that a dead run could not note are found by their keys', async () => {
  const { file, names } = await writeCatalogue('Unnoted', 20)
  await importFile(file)
  const text = await journalText()
  // The last line is incomplete, as after a loss of power.
  await writeFile(await journalOf(), text.slice(0, text.length / 2 + 5))
  expect(await importFile(file)).toMatch(
    /^0 created, (9|10|11) created by an interrupted run, (9|10|11) imported before, 0 refused$/,
  )
  expect(await importFile(file)).toMatch(/, 20 imported before, 0 refused$/)
  expect(await namesWith('Unnoted')).toEqual(names)
})

it('a line with wrong values is refused with its number, and the others are imported', async () => {
  const file = join(work, 'products.csv')
  const rows = ['F-1,Faulty one,,cheap,1', 'F-2,Faulty two,,2,-3', 'F-3,Faulty three,,3,3']
  await writeFile(file, `sku,name,description,price,stock\n${rows.join('\n')}\n`)
  const failed = importFile(file)
  await expect(failed).rejects.toThrow(/^.*1 created, .*, 2 refused\nline 2: \/price .*\nline 3: \/stock /s)
  expect(await namesWith('Faulty')).toEqual(['Faulty three'])
})

it.each([
  ['a column is missing', 'sku,name,price\nA,B,1\n', 'the first line has no column description, stock'],
  ['two lines have one sku', 'sku,name,description,price,stock\nA,B,,1,1\nA,C,,1,1\n', 'the same sku A'],
  ['a sku is empty', 'sku,name,description,price,stock\n,B,,1,1\n', 'line 2: a sku has 1 to 200'],
])('nothing is sent if %s', async (_case, text, message) => {
  const file = join(work, 'products.csv')
  await writeFile(file, text)
  await expect(importFile(file)).rejects.toThrow(message)
  expect(await readdir(work)).toEqual(['products.csv'])
})
