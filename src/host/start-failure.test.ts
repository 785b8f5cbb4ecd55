import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { outputOf } from '#test/support/output.ts'
import { processEnvironment, type Shape, shapes } from '#test/support/processes.ts'
import { freePort } from '../embedded/free-port.ts'
import { urlOf } from '../http/listen-address.ts'
import { registry } from '../registry.ts'

const source = fileURLToPath(new URL('..', import.meta.url))
const bothShapes = Object.keys(shapes) as Shape[]
const folders: string[] = []
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 20 })
})

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'trivet-start-'))
  folders.push(folder)
  return folder
}

/** Starts a program as a shell does, without a channel to its parent. */
function run(script: string, settings: Record<string, string>) {
  const env = { LOG_LEVEL: 'warn', ...processEnvironment(), ...settings }
  const child = spawn(process.execPath, [script], { env })
  const output = outputOf(child)
  const ended = once(child, 'close').then(([code]) => code as number | null)
  return { child, output, ended }
}

/** @returns the output of a start that fails. It must have no stack trace. */
async function failureOf(shape: Shape, settings: Record<string, string>): Promise<string> {
  const { output, ended } = run(join(source, shapes[shape]), {
    DATA_DIR: await temporaryFolder(),
    ...settings,
  })
  expect(await ended, output()).toBe(1)
  expect(output()).not.toMatch(/^ +at /m)
  return output().trimEnd()
}

const oneFault = (fault: string) => `The configuration has 1 fault:\n  - ${fault}`

describe('a start that fails', () => {
  const embedded = { MONGODB_URI: '' }

  it.each([
    ['192.0.2.1', 'HOST 192.0.2.1 is not an address of this machine'],
    ['no-such-name.invalid', 'HOST no-such-name.invalid is not a name that this machine can resolve'],
    ['fe80::1%none', 'HOST fe80::1%none is not an address of this machine'],
  ])('the start prints one message that names HOST if HOST is %s', async (HOST, message) => {
    expect(await failureOf('one process', { HOST, ...embedded })).toContain(oneFault(message))
  })

  it.each(bothShapes)(
    'the start prints one message that names HOST if MongoDB runs already, as %s',
    async (shape) => {
      const message = 'HOST 192.0.2.1 is not an address of this machine'
      expect(await failureOf(shape, { HOST: '192.0.2.1' })).toContain(oneFault(message))
    },
  )

  it.each([
    ['that is a file', async () => join(source, 'main.ts'), 'a file of that name already exists'],
    ['below a file', async () => join(source, 'main.ts', 'x'), 'part of the path is a file, not a folder'],
    ['where no folder can be made', async () => '/proc/trivet', 'there is no such file or folder'],
    [
      'with a file that mongod cannot use',
      withFolders('mongodb', 'mongodb/WiredTiger'),
      'mongod ended with exit code 14',
    ],
    ['with a log that mongod cannot write', withFolders('mongod.log'), 'mongod ended with exit code 1 '],
    [
      'with a lock that mongod cannot take',
      withFolders('mongodb', 'mongodb/mongod.lock'),
      'mongod ended with exit code',
    ],
    ['with a folder for the key file', withFolders('jwt-private-keys.json'), 'it is a folder, not a file'],
    [
      'with a damaged key file',
      withFile('jwt-private-keys.json', '[{'),
      'is damaged: it must be a JSON array',
    ],
  ])('the start prints one message about a DATA_DIR %s', async (what, folder, message) => {
    const DATA_DIR = await folder()
    // The key file is read with any MongoDB, so that these cases need no embedded one.
    const isOfKeys = what.includes('key file')
    const failure = await failureOf('one process', { DATA_DIR, ...(isOfKeys ? {} : embedded) })
    expect(failure).toContain(oneFault(`DATA_DIR ${DATA_DIR} cannot be used: `))
    expect(failure).toContain(message)
  })

  it('the start of the split shape prints one message that names DATA_DIR', async () => {
    const DATA_DIR = join(source, 'main.ts')
    expect(await failureOf('split', { DATA_DIR, ...embedded })).toContain(
      oneFault(`DATA_DIR ${DATA_DIR} cannot be used: a file of that name already exists (EEXIST)`),
    )
  })
})

function withFolders(...names: string[]) {
  return async () => {
    const folder = await temporaryFolder()
    for (const name of names) await mkdir(join(folder, name))
    return folder
  }
}

function withFile(name: string, content: string) {
  return async () => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, name), content)
    return folder
  }
}

describe('a DATA_DIR of another user', () => {
  const fixture = fileURLToPath(
    new URL('../../test/fixtures/open-mongodb-without-rights.ts', import.meta.url),
  )
  it.each([
    ['closed', '', 0o000],
    ['open for reading only', 'mongodb', 0o555],
  ])('the message names the folder in DATA_DIR if it is %s', async (_how, missing, mode) => {
    const DATA_DIR = await temporaryFolder()
    await chmod(DATA_DIR, mode)
    const { output, ended } = run(fixture, { DATA_DIR, MONGODB_URI: '' })
    expect(await ended).toBe(0)
    expect(output()).toContain(
      oneFault(`DATA_DIR ${DATA_DIR} cannot be used: ${join(DATA_DIR, missing || 'mongodb')}`),
    )
    expect(output()).toContain('the user of this process has no permission (EACCES)')
    await chmod(DATA_DIR, 0o700)
  })
})

/** Copies the sources, and package.json with the subpath imports that they use. */
async function copyProgram(folder: string, filter = (_path: string) => true): Promise<void> {
  await cp(source, join(folder, 'src'), { recursive: true, filter })
  await cp(join(source, '..', 'package.json'), join(folder, 'package.json'))
}

it('a start without the packages prints one line with the missing package and the command that installs it', async () => {
  const folder = await temporaryFolder()
  await copyProgram(folder)
  const { output, ended } = run(join(folder, 'src', 'main.ts'), {})
  expect(await ended).toBe(1)
  expect(output()).toMatch(/^The program cannot start: the package \S+ is missing\. Run npm ci in .+\n$/)
})

describe('a start without the dictionaries of passwords', () => {
  it.each<[string, Record<string, string>]>([
    ['when auth starts', {}],
    [
      'when the configuration has a password to check',
      { ADMIN_USERNAME: 'ada', ADMIN_EMAIL: 'ada@example.com', ADMIN_PASSWORD: 'copper violin thunder' },
    ],
  ])(
    'a start without the dictionaries of passwords prints one line with the missing package %s',
    async (_when, settings) => {
      const folder = await temporaryFolder()
      const packages = fileURLToPath(new URL('../../node_modules', import.meta.url))
      await copyProgram(folder)
      await mkdir(join(folder, 'node_modules'))
      for (const name of await readdir(packages)) {
        if (name !== '@zxcvbn-ts') await symlink(join(packages, name), join(folder, 'node_modules', name))
      }
      const { output, ended } = run(join(folder, 'src', 'main.ts'), settings)
      expect(await ended).toBe(1)
      expect(output()).toMatch(
        /^The program cannot start: the package @zxcvbn-ts\S+ is missing\. Run npm ci in .+\n$/,
      )
    },
  )
})

it('a start without src/embedded/, as in the image, requires MONGODB_URI', async () => {
  const folder = await temporaryFolder()
  await copyProgram(folder, (path) => !path.endsWith('embedded'))
  await symlink(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(folder, 'node_modules'))
  const { output, ended } = run(join(folder, 'src', 'main.ts'), { DATA_DIR: folder, MONGODB_URI: '' })
  expect(await ended).toBe(1)
  expect(output().trimEnd()).toBe(
    oneFault('MONGODB_URI is required: this installation has no embedded MongoDB'),
  )
})

describe('the address in the banner', () => {
  it.each([
    ['0.0.0.0', 'http://localhost:3000'],
    ['::', 'http://localhost:3000'],
    ['127.0.0.2', 'http://127.0.0.2:3000'],
    ['::1', 'http://[::1]:3000'],
    ['fe80::1%eth0', 'http://[fe80::1%25eth0]:3000'],
    ['shop.internal', 'http://shop.internal:3000'],
  ])('the address %s is shown as %s', (host, url) => {
    expect(urlOf({ host, port: 3000 })).toBe(url)
  })
})

/** Starts another program that listens on this port, or on a free port. */
async function anotherProgram(port = 0): Promise<number> {
  const server = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n{"status":"ok"}'))
  onTestFinished(() => void server.close())
  await once(server.listen(port, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

describe('a port that is in use', () => {
  let dataDir: string
  let shop: ReturnType<typeof run>
  let port: number
  const printed = (text: string | RegExp) =>
    vi.waitFor(() => expect(shop.output()).toMatch(text), { timeout: 30_000, interval: 50 })

  beforeAll(async () => {
    dataDir = await temporaryFolder()
    port = await freePort()
    const HOST = '127.0.0.1'
    shop = run(join(source, 'main.ts'), {
      DATA_DIR: dataDir,
      HOST,
      PORT: String(port),
      MONGO_URL: 'mongodb://x',
    })
    await printed('is ready')
  })
  afterAll(async () => {
    await end(shop.child)
  })

  it('the banner shows the port and the MongoDB', async () => {
    const [, url = ''] = /API +(\S+)/.exec(shop.output()) ?? []
    expect(url).toBe(`http://127.0.0.1:${port}`)
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect(shop.output()).toMatch(/\n {2}MongoDB {4}127\.0\.0\.1:\d+\n/)
  })

  it('the start warns about a variable that is almost a setting', () => {
    expect(shop.output()).toContain('MONGO_URL is not a setting; MONGODB_URI was probably meant')
  })

  it.each(bothShapes)(
    'a second start as %s reports the port with the process id of this shop',
    async (shape) => {
      const failure = await failureOf(shape, { DATA_DIR: dataDir, HOST: '127.0.0.1', PORT: String(port) })
      expect(failure).toContain(`${port}`)
      expect(failure).toContain(`by Trivet, which already runs here (process id ${shop.child.pid})`)
    },
  )

  it('a start reports a port in use by another program, even if an ended process left its PID file', async () => {
    const taken = await anotherProgram()
    const DATA_DIR = await temporaryFolder()
    const settings = { DATA_DIR, HOST: '127.0.0.1', PORT: String(taken) }
    const message = oneFault(`PORT ${taken} is in use by another program: set another port`)
    expect(await failureOf('one process', settings)).toContain(message)
    // Another program now has the process id in the PID file.
    const pidFile = { pid: process.pid, started: '1', host: '127.0.0.1' }
    await writeFile(join(DATA_DIR, `listening-${taken}.json`), JSON.stringify(pidFile))
    expect(await failureOf('one process', settings)).toContain(message)
  })

  it('the split shape reports all ports in use before it starts a process', async () => {
    let second = await anotherProgram()
    const isFree = async (port: number) => (await freePort(port)) === port
    // The gateway and each service need a port.
    const needed = 1 + registry.length
    const othersAreFree = async () => {
      for (let port = second - 1; port < second - 1 + needed; port++)
        if (port !== second && !(await isFree(port))) return false
      return true
    }
    while (!(await othersAreFree())) second = await anotherProgram()
    await anotherProgram(second + 2)
    const failure = await failureOf('split', { HOST: '127.0.0.1', PORT: String(second - 1), MONGODB_URI: '' })
    expect(failure).toBe(
      oneFault(
        `PORT ${second - 1} is the first of ${needed} consecutive ports that are needed, and some are in use: ${second}, ${second + 2} by another program. End what uses them, or set PORT to the first of ${needed} free consecutive ports`,
      ),
    )
  })
})

async function end(child: ChildProcess): Promise<void> {
  const ended = once(child, 'close')
  child.kill('SIGTERM')
  await ended
}

describe('the split shape', () => {
  it('the split shape refuses a PORT with too few ports after it', async () => {
    const services = registry.length
    const last = 65_535 - services
    expect(await failureOf('split', { PORT: String(last + 1) })).toBe(
      oneFault(`PORT must be ${last} or less: the services listen on the ${services} ports after it`),
    )
  })

  it('the split shape reports the exit of a service and not a fault of its own configuration', async () => {
    const DATA_DIR = await withFile('jwt-private-keys.json', '[{')()
    const failure = await failureOf('split', { DATA_DIR })
    expect(failure).toContain('\nauth ended with code 1 before it was ready: see its own message above')
    expect(failure.match(/The configuration has/g)).toHaveLength(1)
  })

  it('the split shape warns once about a variable that is almost a setting and about one that it ignores, and shows the MongoDB in its banner', async () => {
    const { child, output } = run(join(source, 'dev', 'split.ts'), {
      DATA_DIR: await temporaryFolder(),
      BCRYPT_ROUNDS: '10',
      MANAGEMENT_PORT: '9464',
    })
    await vi.waitFor(() => expect(output()).toContain('is ready'), { timeout: 30_000, interval: 50 })
    await end(child)
    expect(output().match(/BCRYPT_ROUNDS is not a setting; BCRYPT_COST was probably meant/g)).toHaveLength(1)
    expect(output().match(/npm run split ignores MANAGEMENT_PORT/g)).toHaveLength(1)
    expect(output()).toMatch(/\n {2}MongoDB {4}127\.0\.0\.1:\d+\n/)
  })
})
