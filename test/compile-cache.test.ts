import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const source = new URL('../src/compile-cache.ts', import.meta.url).href
const script = `
import { getCompileCacheDir } from 'node:module'
import { keepCompiled } from '${source}'
keepCompiled(process.argv[1])
await import(process.argv[2])
process.stdout.write(getCompileCacheDir() ?? 'none')
process.exit()`
const loaded = new URL('../src/kernel/errors.ts', import.meta.url).href

let base: string
let folder: string
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'trivet-compiled-'))
  folder = join(base, 'compiled')
})
afterEach(() => rm(base, { recursive: true }))

/** @returns where a process that is given the folder keeps what it compiles; one that hangs is ended, and rejects */
async function keptIn(given: string): Promise<string> {
  const options = { env: { PATH: process.env.PATH }, timeout: 10_000 }
  const argv = ['--input-type=module', '-e', script, given, loaded]
  const { stdout } = await promisify(execFile)(process.execPath, argv, options)
  return stdout
}

describe('what is compiled is kept', () => {
  it("in a folder that is nobody else's to look into", async () => {
    const kept = await keptIn(folder)
    expect(kept.startsWith(folder)).toBe(true)
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    const files = await readdir(kept)
    expect(files.length).toBeGreaterThan(0)
    expect(await keptIn(folder)).toBe(kept)
    expect(await readdir(kept)).toEqual(files)
  })

  it('by processes that start at once', async () => {
    const kept = await Promise.all([keptIn(folder), keptIn(folder), keptIn(folder)])
    expect(kept[0]?.startsWith(folder)).toBe(true)
    expect(new Set(kept).size).toBe(1)
    // Without what one of them has not finished.
    expect((await readdir(kept[0] ?? '')).filter((name) => name.includes('.'))).toEqual([])
  })
})

describe('nothing is kept, and the process starts all the same,', () => {
  it.each([
    ['where no folder can be made', () => '/proc/compiled'],
    ['where there is no folder above', () => join(folder, 'deeper')],
  ])('%s', async (_where, given) => {
    expect(await keptIn(given())).toBe('none')
    expect(await readdir(base)).toEqual([])
  })

  it('where there is a file', async () => {
    await writeFile(folder, '')
    expect(await keptIn(folder)).toBe('none')
    expect(await keptIn(join(folder, 'deeper'))).toBe('none')
  })

  it.each([0o777, 0o770, 0o755])('in a folder that is open to others: %o', async (mode) => {
    await mkdir(folder)
    await chmod(folder, mode)
    expect(await keptIn(folder)).toBe('none')
    expect(await readdir(folder)).toEqual([])
  })

  it('behind a link, which may lead anywhere', async () => {
    await mkdir(join(base, 'elsewhere'), { mode: 0o700 })
    await symlink(join(base, 'elsewhere'), folder)
    expect(await keptIn(folder)).toBe('none')
  })

  it.runIf(process.getuid?.() === 0)("in somebody else's folder", async () => {
    await mkdir(folder, { mode: 0o700 })
    await chown(folder, 65_534, 65_534)
    expect(await keptIn(folder)).toBe('none')
    expect(await readdir(folder)).toEqual([])
  })
})
