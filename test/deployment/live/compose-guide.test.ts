import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '#src/embedded/free-port.ts'
import { textOf } from '#test/support/output.ts'
import { docker, noDocker } from './docker.ts'

if (noDocker) console.log(`skipped: ${noDocker}`)

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** The commands in a chapter of the guide, in their order. */
async function commandsOf(chapter: string): Promise<string> {
  const guide = await readFile(join(root, 'deploy', 'README.md'), 'utf8')
  const [, text = ''] = guide.split(`\n## ${chapter}\n`)
  const [own = ''] = text.split('\n## ')
  const blocks = [...own.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, commands = '']) => commands)
  expect(blocks.length).toBeGreaterThan(5)
  return blocks.join('\n')
}

describe.skipIf(noDocker)('the guide to Compose', () => {
  let folder: string
  let environment: Record<string, string>
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'trivet-guide-'))
    // The commands expect the project's folder as the working directory.
    await symlink(join(root, 'deploy'), join(folder, 'deploy'))
    environment = {
      COMPOSE_PROJECT_NAME: `trivet-guide-${randomUUID().slice(0, 8)}`,
      COMPOSE_FILE: join(root, 'docker-compose.yml'),
      PORT: String(await freePort()),
      EDGE_NETWORK: '10.87.253',
    }
  })
  afterAll(async () => {
    await docker(['compose', '--profile', '*', 'down', '--volumes', '--timeout', '20'], environment)
    await rm(folder, { recursive: true })
  })

  it('the commands of the chapter on Compose work in their order, up to the restored backup', async () => {
    const commands = await commandsOf('Compose')
    const shell = spawn('bash', ['-euo', 'pipefail', '-c', commands], {
      cwd: folder,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const output = textOf(shell.stdout)
    const errors = textOf(shell.stderr)
    const code = await new Promise((resolve) => shell.once('close', resolve))
    expect(code, errors().slice(-3_000)).toBe(0)
    // The order of two cups, the list of admins, the backup, and the audits before and after the restore.
    expect(output()).toContain('"totalAmount":25.8,"currency":"EUR","status":"confirmed"')
    expect(output()).toContain('admin@example.com')
    expect(output()).toContain('complete')
    expect(output().match(/Checked 1 orders.*0 findings/g)).toHaveLength(2)
    expect(await readdir(folder)).toEqual(['backup.tgz', 'deploy', 'secrets.tgz'])
  })
})
