import { spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { textOf } from '#test/support/output.ts'
import { type Deployment, deploy, type Shape } from '#test/support/processes.ts'
import { root } from '#test/support/run-program.ts'
import { admin } from '#test/support/shop.ts'

/** Each command of a tour that prints an answer, by its status. Some tours begin with the registration of an account. */
const tours = [
  {
    page: 'README.md',
    chapters: ['A tour'],
    registers: true,
    statuses: [200, 200, 201, 201, 200, 200, 200, 200, 200, 200, 409],
    shows: ['idempotent-replayed: true', '"code": "version_conflict"', '0 findings'],
  },
  {
    page: 'docs/tour.md',
    chapters: [
      'Sign in, and stay signed in',
      'Look around the catalogue',
      'Orders that are refused',
      'Sign out',
    ],
    registers: true,
    statuses: [200, 200, 200, 200, 200, 200, 200, 409, 200, 200, 200, 204, 401],
    shows: ['"code": "insufficient_stock"', '"status": "rejected"', '"code": "invalid_token"'],
  },
  {
    page: 'docs/api/getting-started.md',
    chapters: [
      '1. Look for a product',
      '2. Sign in',
      '3. Place an order',
      '4. Handle a refusal',
      '5. Follow and cancel the order',
    ],
    registers: false,
    statuses: [200, 200, 200, 200, 201, 201, 409, 200, 400, 200, 200, 200],
    shows: ['idempotent-replayed: true', '"code": "insufficient_stock"', '"status": "cancelled"'],
  },
]
const shells = ['bash', 'zsh'].filter((shell) => spawnSync(shell, ['-c', 'true']).status === 0)

/** The commands of these chapters, in their order. */
async function commandsOf(page: string, chapters: readonly string[]): Promise<string> {
  const text = await readFile(join(root, page), 'utf8')
  const commands = chapters.map((chapter) => {
    const [own = ''] = text.split(`\n## ${chapter}\n`)[1]?.split('\n## ') ?? []
    return [...own.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block).join('')
  })
  expect(commands).not.toContain('')
  return commands.join('')
}

describe.each<Shape>(['one process', 'split'])('the tours, %s', (shape) => {
  let shop: Deployment
  const database = `tours_${randomUUID().slice(0, 8)}`
  beforeAll(async () => {
    shop = await deploy(shape, {
      DEMO: 'true',
      REQUEST_TIMEOUT: '20s',
      MONGODB_DATABASE: database,
      ADMIN_USERNAME: 'admin',
    })
  })
  afterAll(() => shop.stop())

  /** Pastes the commands into a shell. They stop at the first one that fails. */
  async function paste(shell: string, commands: string): Promise<{ output: string; statuses: number[] }> {
    const own = commands
      .replace('API=http://localhost:3000', `API=${shop.url}`)
      .replace('PASSWORD=$(cat .data/demo-admin-password)', `PASSWORD='${admin.password}'`)
    expect(own).toContain(shop.url)
    const child = spawn(shell, ['-euo', 'pipefail', '-c', `exec 2>&1\n${own}`], {
      cwd: root,
      env: { ...process.env, MONGODB_URI: mongodbUri, MONGODB_DATABASE: database },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const output = textOf(child.stdout)
    const [code] = await once(child, 'close')
    expect(code, output()).toBe(0)
    return {
      output: output(),
      statuses: [...output().matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status)),
    }
  }

  it.each(shells.flatMap((shell) => tours.map((tour) => ({ ...tour, shell }))))(
    'the tour of $page can be taken twice in $shell',
    async ({ page, chapters, registers, statuses, shows, shell }) => {
      const commands = await commandsOf(page, chapters)
      const first = await paste(shell, commands)
      const [registration, ...others] = registers ? first.statuses : [201, ...first.statuses]
      expect([201, 409]).toContain(registration)
      for (const text of shows) expect(first.output).toContain(text)
      const second = await paste(shell, commands)
      expect(others).toEqual(statuses)
      expect(second.statuses).toEqual([...(registers ? [409] : []), ...statuses])
    },
  )
})
