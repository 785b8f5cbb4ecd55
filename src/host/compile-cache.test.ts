import { execFile } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const source = new URL('./compile-cache.ts', import.meta.url).href
const script = `
import { getCompileCacheDir } from 'node:module'
import { useCompileCache } from '${source}'
useCompileCache(process.argv[1])
await import(process.argv[2])
process.stdout.write(getCompileCacheDir() ?? 'none')
process.exit()`
const loaded = new URL('../kernel/errors.ts', import.meta.url).href

let base: string
let folder: string
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'trivet-compile-cache-'))
  folder = join(base, 'compiled')
})
afterEach(() => rm(base, { recursive: true }))

/** @returns the cache folder that a process uses if it is given `folder`, or `none`. The promise rejects if the process hangs. */
async function cacheFolderFor(given: string): Promise<string> {
  const options = { env: { PATH: process.env.PATH }, timeout: 10_000 }
  const argv = ['--input-type=module', '-e', script, given, loaded]
  const { stdout } = await promisify(execFile)(process.execPath, argv, options)
  return stdout
}

describe('a compile cache', () => {
  it('the cache is stored in a folder to which no other user has access', async () => {
    const kept = await cacheFolderFor(folder)
    expect(kept.startsWith(folder)).toBe(true)
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    const files = await readdir(kept)
    expect(files.length).toBeGreaterThan(0)
    expect(await cacheFolderFor(folder)).toBe(kept)
    expect(await readdir(kept)).toEqual(files)
  })

  it('processes that start at the same time share the cache', async () => {
    const kept = await Promise.all([cacheFolderFor(folder), cacheFolderFor(folder), cacheFolderFor(folder)])
    expect(kept[0]?.startsWith(folder)).toBe(true)
    expect(new Set(kept).size).toBe(1)
    // No process has left an unfinished file.
    expect((await readdir(kept[0] ?? '')).filter((name) => name.includes('.'))).toEqual([])
  })
})

describe('an unsafe folder', () => {
  it.each([
    ['the folder cannot be created', () => '/proc/compiled'],
    ['the parent folder does not exist', () => join(folder, 'deeper')],
  ])('the process starts without a cache if %s', async (_where, given) => {
    expect(await cacheFolderFor(given())).toBe('none')
    expect(await readdir(base)).toEqual([])
  })

  it('the process starts without a cache if a file has the name of the folder', async () => {
    await writeFile(folder, '')
    expect(await cacheFolderFor(folder)).toBe('none')
    expect(await cacheFolderFor(join(folder, 'deeper'))).toBe('none')
  })

  it.each([0o777, 0o770, 0o755])(
    'the process starts without a cache if other users have access to the folder (mode %o)',
    async (mode) => {
      await mkdir(folder)
      await chmod(folder, mode)
      expect(await cacheFolderFor(folder)).toBe('none')
      expect(await readdir(folder)).toEqual([])
    },
  )

  it('the process starts without a cache if the folder is a symbolic link', async () => {
    await mkdir(join(base, 'elsewhere'), { mode: 0o700 })
    await symlink(join(base, 'elsewhere'), folder)
    expect(await cacheFolderFor(folder)).toBe('none')
  })

  it.runIf(process.getuid?.() === 0)(
    'the process starts without a cache if the folder belongs to another user',
    async () => {
      await mkdir(folder, { mode: 0o700 })
      await chown(folder, 65_534, 65_534)
      expect(await cacheFolderFor(folder)).toBe('none')
      expect(await readdir(folder)).toEqual([])
    },
  )
})
