import { execFile } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, expect, it } from 'vitest'
import { root } from '#test/support/run-program.ts'
import { linkCheck } from '../quick-checks.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trivet-links-'))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  await writeFile(join(folder, 'other.md'), '# Other\n\n## A heading\n')
  await writeFile(join(folder, 'picture.svg'), '<svg/>')
  return () => rm(folder, { recursive: true })
})

/** Checks a page with this text. */
async function check(text: string): Promise<{ code: number | null; output: string }> {
  await writeFile(join(folder, 'page.md'), `# Page\n\n${text}\n`)
  return new Promise((resolve) => {
    const args = [join(root, linkCheck.program), ...linkCheck.args, '.']
    const child = execFile(process.execPath, args, { cwd: folder }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode, output: stdout + stderr }),
    )
  })
}

it('links to files, headings, pictures and other sites pass', async () => {
  const text =
    '[a](other.md) [b](other.md#a-heading) [c](#page) ![d](picture.svg) [e](https://github.com/o/r/blob/main/x.md) [f](.)'
  expect(await check(text)).toEqual({ code: 0, output: '' })
})

it('dead links to files, pictures and headings are found, also in tables', async () => {
  const dead = ['[a](none.md)', '![a](none.png)', '[a](other.md#none)', '[a](#none)']
  const { code, output } = await check(`${dead.join(' ')}\n\n| a |\n| --- |\n| [a](in-a-table.md) |`)
  expect(code).toBe(1)
  for (const target of ['file `none.md`', 'file `none.png`', 'file `in-a-table.md`'])
    expect(output).toContain(`Cannot find ${target}`)
  expect(output).toContain('Cannot find heading for `#none` in `other.md`')
  expect(output).toMatch(/Cannot find heading for `#none` +missing-heading /)
})
