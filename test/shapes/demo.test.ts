import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it, type TestContext, vi } from 'vitest'
import { outputOf } from '#test/support/output.ts'
import { scriptEnvironment } from '#test/support/processes.ts'

const script = fileURLToPath(new URL('../../examples/demo/main.ts', import.meta.url))

// The demo takes half a minute on a quiet machine, and several times as long on a busy one.
const timeout = 300_000

/** Starts the demo with a folder for its temporary files, and returns what is left in the folder when the demo has ended. */
async function startDemo({ onTestFinished }: TestContext, ...args: string[]) {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-demo-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const env = { ...scriptEnvironment, TMPDIR: folder }
  const child: ChildProcess = spawn(process.execPath, [script, ...args], { env })
  const output = outputOf(child)
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  return { folder, child, output, ended, left: () => readdir(folder) }
}

it('the demo kills product and order while buyers order, keeps every promise, records itself and leaves nothing behind', {
  timeout,
}, async (context) => {
  const recording = join(await mkdtemp(join(tmpdir(), 'trivet-recording-')), 'demo.svg')
  context.onTestFinished(() => rm(join(recording, '..'), { recursive: true, force: true }))
  const demo = await startDemo(context, '--plain', '--record', recording)
  expect(await demo.ended, demo.output()).toBe(0)
  const output = demo.output()
  for (const service of ['product', 'order']) {
    expect(output).toMatch(new RegExp(`kill -9 \\d+ \\(${service}\\), while [1-9]\\d* buyers are ordering`))
    expect(output).toMatch(new RegExp(`${service} is ready again \\(process \\d+\\)`))
  }
  expect(output.match(/^kept {4}.*$/gm)).toEqual([
    expect.stringMatching(/No piece is sold twice: 50 sold and 0 left of 50$/),
    expect.stringMatching(/One key, one order: [1-9]\d* repeated requests, 0 second orders$/),
    expect.stringMatching(/No acknowledged order is lost: 50 of 50 orders are confirmed$/),
    expect.stringMatching(/No stock is stuck: 0 pieces left or held, 150 buyers too late$/),
    expect.stringMatching(/Every piece is accounted for: 0 findings in 2\d\d orders, 50 holds, 1 product$/),
  ])
  expect(output).toMatch(/^5 of 5 promises were kept, in \d+ s/m)
  expect(await demo.left()).toEqual([])

  const svg = await readFile(recording, 'utf8')
  expect(svg.match(/<g transform/g)?.length).toBeGreaterThan(20)
  expect(svg).toContain('No piece is sold twice')
  expect(svg).not.toContain('<script')
})

it('an interrupted demo ends its processes and leaves nothing behind', { timeout }, async (context) => {
  const demo = await startDemo(context, '--plain')
  await vi.waitFor(() => expect(demo.output()).toContain('kill -9'), { timeout: 200_000 })
  demo.child.kill('SIGINT')
  expect(await demo.ended).toBe(130)
  expect(await demo.left()).toEqual([])
})
