import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { CrashKind } from '#test/fixtures/crash-on-demand.ts'
import { outputOf } from '#test/support/output.ts'
import { processEnvironment, runScript } from '#test/support/processes.ts'
import { freePort } from '../embedded/free-port.ts'

interface Process {
  child: ChildProcess
  port: number
  /** Resolves when the process is ready. */
  ready: Promise<void>
  /** Resolves with the exit code of the process. */
  ended: Promise<number | null>
  output(): string
}

const main = fileURLToPath(new URL('../main.ts', import.meta.url))
const crashOnDemand = new URL('../../test/fixtures/crash-on-demand.ts', import.meta.url).href

async function start(settings: Record<string, string> = {}): Promise<Process> {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-end-'))
  const port = await freePort()
  const env = { ...processEnvironment(), DATA_DIR: dataDir, PORT: String(port), ...settings }
  const child = fork(main, { env, silent: true, execArgv: ['--import', crashOnDemand] })
  const output = outputOf(child)
  const ended = once(child, 'close').then(([code]) => code)
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(dataDir, { recursive: true })
  })
  return { child, port, ready: once(child, 'message').then(() => undefined), ended, output }
}

/**
 * Starts an npm script as an operator does, in a process group of its own, and waits until it is ready. `ended` resolves
 * when no process of the group is left that writes.
 */
async function startByNpm(script: 'start' | 'split') {
  const dataDir = await mkdtemp(join(tmpdir(), 'trivet-end-'))
  // npm would print its own messages after the program's last line.
  const quiet = { npm_config_update_notifier: 'false', LOG_LEVEL: 'info' }
  const env = { ...quiet, ...processEnvironment(), DATA_DIR: dataDir }
  const npm = spawn('npm', ['run', script], { env, cwd: dirname(dirname(main)), detached: true })
  const output = outputOf(npm)
  const ended = once(npm, 'close')
  onTestFinished(async () => {
    signalGroup(npm.pid, 'SIGKILL')
    await rm(dataDir, { recursive: true })
  })
  const port = await eventually(() => {
    const [, found] = output().match(/http:\/\/localhost:(\d+)/) ?? []
    expect(found, output()).toBeDefined()
    return Number(found)
  })
  return { npm, port, ended, output }
}

function signalGroup(leader: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (leader !== undefined) process.kill(-leader, signal)
  } catch {
    // The group has no process left.
  }
}

const eventually = <T>(check: () => T) => vi.waitFor(check, { timeout: 45_000, interval: 20 })

/** @returns the status and the Connection header of the answer */
function ask(port: number, path: string, agent?: Agent): Promise<{ status?: number; connection?: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', path, ...(agent && { agent }) }, (answer) => {
      answer.resume()
      const { statusCode: status = 0, headers } = answer
      answer.once('end', () => resolve({ status, connection: headers.connection ?? '' }))
    })
    sent.once('error', reject)
    sent.end()
  })
}

/** Sends a request without its body, so that it stays in flight until `finish` sends the body. */
async function unfinished(port: number): Promise<{ finish(): Promise<string> }> {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  socket.setEncoding('latin1').on('data', (text) => {
    received += text
  })
  const closed = once(socket, 'close')
  await once(socket, 'connect')
  const body = '{"refreshToken":"none"}'
  const head = `POST /logout HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`
  socket.write(`${head}\r\nExpect: 100-continue\r\n\r\n`)
  // The server has read the head of the request.
  await eventually(() => expect(received).toContain('100 Continue'))
  received = ''
  return {
    async finish() {
      socket.write(body)
      await closed
      return received
    },
  }
}

describe('the shutdown', () => {
  it('the shutdown ends readiness, answers requests during DRAIN_DELAY, and exits with 0', async () => {
    // Long enough for the requests below to be sent during the delay.
    const { child, port, ready, ended, output } = await start({ DRAIN_DELAY: '1500ms' })
    await ready
    expect(await ask(port, '/readyz')).toMatchObject({ status: 200 })
    child.kill('SIGTERM')
    await eventually(async () => expect(await ask(port, '/readyz')).toMatchObject({ status: 503 }))
    expect(await ask(port, '/products')).toEqual({ status: 200, connection: 'close' })
    expect(await ended).toBe(0)
    expect(output()).toContain('"reason":"SIGTERM"')
    expect(output()).toContain('"msg":"stopped"')
    // Successful probes are not logged. Refused probes are logged as `info`, not as errors.
    const probes = output()
      .split('\n')
      .filter((line) => line.includes('"path":"/readyz"') || line.includes('"path":"/healthz"'))
      .map((line) => JSON.parse(line))
    const info = 30
    expect(probes.length).toBeGreaterThan(0)
    for (const line of probes) expect(line).toMatchObject({ level: info, status: 503, msg: 'request' })
  })

  it('the shutdown answers the requests in flight, and closes idle connections', async () => {
    const { child, port, ready, ended } = await start()
    await ready
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    expect(await ask(port, '/healthz', agent)).toEqual({ status: 200, connection: 'keep-alive' })
    const { finish } = await unfinished(port)
    child.kill('SIGTERM')
    // The process accepts no new connections from now on.
    await eventually(() => expect(ask(port, '/healthz')).rejects.toThrow('ECONNREFUSED'))
    const answer = await finish()
    expect(answer).toMatch(/^HTTP\/1\.1 204 /)
    expect(answer).toMatch(/connection: close/i)
    expect(await ended).toBe(0)
    agent.destroy()
  })

  it('two signals in quick succession count as one', async () => {
    const { child, port, ready, ended } = await start()
    await ready
    const { finish } = await unfinished(port)
    child.kill('SIGTERM')
    child.kill('SIGINT')
    await eventually(() => expect(ask(port, '/healthz')).rejects.toThrow('ECONNREFUSED'))
    expect(await finish()).toMatch(/^HTTP\/1\.1 204 /)
    expect(await ended).toBe(0)
  })

  it('a second signal ends the process at once', async () => {
    const { child, port, ready, ended, output } = await start({ DRAIN_DELAY: '1m', DRAIN_TIMEOUT: '2m' })
    await ready
    child.kill('SIGTERM')
    await eventually(async () => expect(await ask(port, '/readyz')).toMatchObject({ status: 503 }))
    const again = setInterval(() => child.kill('SIGINT'), 100)
    expect(await ended).toBe(1)
    clearInterval(again)
    expect(output()).not.toContain('"msg":"stopped"')
  })

  it('the shutdown takes at most DRAIN_TIMEOUT, even if a request is still in flight', async () => {
    const { child, port, ready, ended } = await start({ DRAIN_TIMEOUT: '3s' })
    await ready
    await unfinished(port)
    child.kill('SIGTERM')
    // The connection of the request is closed before that, so that the process ends in order.
    expect(await ended).toBe(0)
  })

  it('the process listens for signals before the program is loaded', async () => {
    const printListeners = new URL('../../test/fixtures/print-signal-listeners.ts', import.meta.url).href
    const child = fork(main, {
      env: { SERVICE: 'none' },
      silent: true,
      execArgv: ['--import', printListeners],
    })
    const output = outputOf(child)
    await once(child, 'close')
    expect(output()).toContain('listening: SIGTERM SIGINT')
  })

  it.each([
    ['start', 'npm'],
    // A terminal signals the whole group at Ctrl-C. The program gets the signal twice, because npm forwards it.
    ['split', 'the process group'],
  ] as const)('the program of `npm run %s` drains when %s gets the signal', async (script, signalled) => {
    const { npm, port, ended, output } = await startByNpm(script)
    const { finish } = await unfinished(port)
    if (signalled === 'npm') npm.kill('SIGTERM')
    else signalGroup(npm.pid, 'SIGINT')
    await eventually(() => expect(ask(port, '/healthz')).rejects.toMatchObject({ code: 'ECONNREFUSED' }))
    expect(await finish()).toMatch(/^HTTP\/1\.1 204 /)
    await ended
    const last = output().trimEnd().split('\n').at(-1) ?? ''
    expect(JSON.parse(last)).toMatchObject({
      service: script === 'split' ? 'gateway' : 'all',
      msg: 'stopped',
    })
  })

  it('a process that waits for MongoDB exits with 0 at a signal', async () => {
    const { child, port, ended, output } = await start({
      MONGODB_URI: `mongodb://127.0.0.1:${await freePort()}/?replicaSet=none`,
    })
    await eventually(() => expect(output()).toContain('waiting for MongoDB'))
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
    await expect(ask(port, '/healthz')).rejects.toThrow('ECONNREFUSED')
  })
})

describe('a crash', () => {
  it.each<[CrashKind, string]>([
    ['rejection', 'unhandledRejection'],
    ['exception', 'uncaughtException'],
    ['listener', 'the listener failed'],
  ])(
    'a crash by a %s is logged, and the process answers the requests in flight, cleans up, and exits with 1',
    async (kind, reason) => {
      const { child, port, ready, ended, output } = await start()
      await ready
      const { finish } = await unfinished(port)
      child.send(kind)
      await eventually(() => expect(output()).toContain('"msg":"draining"'))
      expect(await finish()).toMatch(/^HTTP\/1\.1 204 /)
      expect(await ended).toBe(1)
      const lines = output().split('\n')
      const crash = lines.find((line) => line.includes('"msg":"crashed"')) ?? ''
      expect(JSON.parse(crash)).toMatchObject({
        level: 60,
        reason,
        err: { message: `crash on demand: ${kind}` },
      })
      expect(lines.filter((line) => line.includes('"msg":"stopped"'))).toHaveLength(1)
    },
  )

  it('a crash during the shutdown is logged, and the process exits with 1', async () => {
    const { child, port, ready, ended, output } = await start()
    await ready
    const { finish } = await unfinished(port)
    child.kill('SIGTERM')
    await eventually(() => expect(output()).toContain('"msg":"draining"'))
    child.send('rejection' satisfies CrashKind)
    await eventually(() => expect(output()).toContain('"msg":"crashed"'))
    expect(await finish()).toMatch(/^HTTP\/1\.1 204 /)
    expect(await ended).toBe(1)
    expect(output()).toContain('"msg":"stopped"')
  })
})

it.each(['main.ts', 'dev/split.ts'])('%s refuses arguments, and does not repeat them', async (program) => {
  const { code, stdout, stderr } = await runScript(program, ['ADMIN_PASSWORD=hunter2', '--frob'], {})
  const output = stdout + stderr
  expect({ code, output }).toEqual({ code: 1, output: expect.stringContaining('PORT=4000') })
  expect(output).not.toMatch(/hunter2|frob| at /)
})

describe('the port of a process that starts', () => {
  it('the port is closed until the process is ready, because a load balancer without probes sends requests to an open port', async () => {
    const { child, port, ready, ended } = await start()
    let isReady = false
    void ready.then(() => {
      isReady = true
    })
    const seen: (number | undefined)[] = []
    while (!isReady) {
      const status = await ask(port, '/products').then(
        (answer) => answer.status,
        () => undefined,
      )
      seen.push(status)
      // Requests without a pause would slow down the start of the process.
      await sleep(20)
    }
    // On a slow machine the process may open the port after two seconds, and answer 503.
    expect(seen.filter((status) => status !== undefined && status !== 200 && status !== 503)).toEqual([])
    expect(seen[0]).toBeUndefined()
    expect(await ask(port, '/products')).toMatchObject({ status: 200 })
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
  })

  it('the port opens after two seconds if the process is not ready by then, and /readyz says what is missing', async () => {
    const { port } = await start({ MONGODB_URI: `mongodb://127.0.0.1:${await freePort()}/?replicaSet=none` })
    const { status, body } = await vi.waitFor(
      async () => {
        const answer = await fetch(`http://127.0.0.1:${port}/readyz`)
        return { status: answer.status, body: (await answer.json()) as { missing: string[] } }
      },
      { timeout: 60_000, interval: 50 },
    )
    expect(status).toBe(503)
    expect(body.missing).toContain('database of auth')
    expect(await ask(port, '/healthz')).toMatchObject({ status: 200 })
    expect(await ask(port, '/products')).toMatchObject({ status: 503 })
  })
})
