import { execFileSync, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { registry } from '#src/registry.ts'
import { createClient } from '#test/support/client.ts'
import { openCollections } from '#test/support/collections.ts'
import { makeDatabaseFolder } from '#test/support/database-folder.ts'
import { mongodbUri } from '#test/support/mongodb-uri.ts'
import { textOf } from '#test/support/output.ts'
import { runScript, scriptEnvironment } from '#test/support/processes.ts'
import { admin, databaseName, type Shop, startShop } from '#test/support/shop.ts'

const script = fileURLToPath(new URL('./admin.ts', import.meta.url))

type Outcome = Awaited<ReturnType<typeof run>>

/** Runs `npm run admin` with these environment variables. `input` is its standard input. */
const run = (env: Record<string, string>, args: readonly string[], input: string | Buffer = '') =>
  runScript('cli/admin.ts', args, env, input)

const eventsOf = ({ stderr }: Outcome): Record<string, unknown>[] =>
  stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event !== undefined)

let shop: Shop
let environment: Record<string, string>
beforeAll(async () => {
  shop = await startShop()
  environment = {
    ...scriptEnvironment,
    MONGODB_URI: mongodbUri,
    MONGODB_DATABASE: shop.database,
    DATA_DIR: shop.dataDir,
    BCRYPT_COST: '4',
  }
})
afterAll(() => shop.close())

const command = (...args: string[]) => run(environment, args)
const roleOf = async (token: string) => (await shop.get('/profile', { token })).body.role
const refresh = (refreshToken: string) => shop.post('/token/refresh', { body: { refreshToken } })
const signIn = (username: string, password: string) => shop.post('/login', { body: { username, password } })

describe('npm run admin -- create', () => {
  it.each([
    ['a line', 'the boat in the bottle\n'],
    ['a line without a line break', 'the boat in the bottle'],
    ['a line after a byte order mark, with a Windows line break', '\ufeffthe boat in the bottle\r\nand more'],
  ])('create reads the password of the admin from %s on standard input', async (_what, input) => {
    const name = `captain-${input.length}`
    const outcome = await run(environment, ['create', name, `${name}@example.com`], input)
    expect(outcome).toMatchObject({ code: 0, stdout: expect.stringContaining(`${name} is an admin now`) })
    const { status, body } = await signIn(name, 'the boat in the bottle')
    expect(status).toBe(200)
    expect(await roleOf(body.accessToken)).toBe('admin')
    expect(eventsOf(outcome)).toEqual([
      expect.objectContaining({ event: 'auth.registered', role: 'admin', by: 'operator' }),
    ])
    expect(outcome.stdout + outcome.stderr).not.toContain('the boat')
  })

  it.each([
    ['a name that is taken', [admin.username, 'new@example.com'], 'long and unusual', /is taken/],
    ['an empty line', ['newcomer', 'new@example.com'], '\n', /standard input is empty/],
    ['an empty input', ['newcomer', 'new@example.com'], '', /standard input is empty/],
    [
      'a password that is not UTF-8',
      ['newcomer', 'new@example.com'],
      Buffer.from('fünf Würfel', 'latin1'),
      /must be UTF-8/,
    ],
  ])('create ends with 1 if it refuses %s, and prints the reason', async (_what, args, input, reason) => {
    const outcome = await run(environment, ['create', ...args], input)
    expect(outcome).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(reason) })
    const users = (await shop.collections('auth')).collection('users')
    expect(await users.countDocuments({ username: 'newcomer' })).toBe(0)
  })

  it('create stops reading standard input when the line is longer than a password may be', async () => {
    const child = spawn(process.execPath, [script, 'create', 'newcomer', 'new@example.com'], {
      env: environment,
      stdio: ['pipe', 'ignore', 'pipe'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const errors = textOf(child.stderr)
    // The input has no line break, and its stream stays open.
    child.stdin.write('long'.repeat(10_000))
    const [code] = await once(child, 'close')
    expect({ code, errors: errors() }).toEqual({ code: 1, errors: expect.stringContaining('is too long') })
  })

  it('create works before the first start of the program', async () => {
    const fresh = { ...environment, MONGODB_DATABASE: databaseName() }
    const twice = await Promise.all(
      ['one', 'two'].map((name) =>
        run(fresh, ['create', `${name}-and-only`, 'only@example.com'], 'the boat in the bottle'),
      ),
    )
    // Both commands use the same e-mail address. One of them fails, because the unique index exists before the first account.
    expect(twice.map(({ code }) => code).toSorted()).toEqual([0, 1])
    const own = await openCollections(environment.MONGODB_URI ?? '', fresh.MONGODB_DATABASE)
    for (const { name } of registry) await (await own.collections(name)).dropDatabase()
    await own.close()
  })
})

describe('npm run admin -- promote and demote', () => {
  it('promote and demote change the role from the next sign-in on, and end every session', async () => {
    const ada = await shop.customer()
    const promoted = await command('promote', ada.email.toUpperCase())
    expect(promoted).toMatchObject({ code: 0, stdout: `${ada.username} is an admin now\n` })
    expect(eventsOf(promoted)).toEqual([
      expect.objectContaining({
        event: 'auth.role_changed',
        userId: ada.userId,
        role: 'admin',
        by: 'operator',
      }),
    ])
    expect(await refresh(ada.refreshToken)).toMatchObject({ status: 401, body: { code: 'invalid_token' } })
    const { accessToken, refreshToken } = await shop.signIn(ada.email, ada.password)
    expect((await shop.post('/products', { token: accessToken, body: {} })).status).toBe(400)

    expect(await command('demote', ada.username)).toMatchObject({
      code: 0,
      stdout: `${ada.username} is a customer now\n`,
    })
    expect((await refresh(refreshToken)).status).toBe(401)
    const token = await shop.login(ada.email, ada.password)
    expect((await shop.post('/products', { token, body: {} })).status).toBe(403)
  })
})

it('list prints the admins only, the oldest first', async () => {
  const ada = await shop.customer()
  const bob = await shop.customer()
  await command('promote', ada.username)
  const { code, stdout } = await command('list')
  expect(code).toBe(0)
  const lines = stdout.trimEnd().split('\n')
  expect(lines[0]).toMatch(/^USERNAME +E-MAIL +ID +SINCE$/)
  expect(lines[1]).toContain(admin.email)
  expect(lines.at(-1)).toMatch(new RegExp(`^${ada.username} +${ada.email} +${ada.userId} +\\d{4}-.*Z$`))
  expect(stdout).not.toContain(bob.username)
})

describe('npm run admin -- with --json', () => {
  it('--json prints the account of the command without its password hash', async () => {
    const { code, stdout } = await run(
      environment,
      ['create', 'machine', 'Machine@example.com', '--json'],
      'the boat in the bottle',
    )
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual({
      userId: expect.stringMatching(/^[0-9a-f]{24}$/),
      username: 'machine',
      email: 'Machine@example.com',
      role: 'admin',
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
    })
  })

  it('list --json prints a thousand admins through a pipe', async () => {
    const own = await startShop()
    const users = (await own.collections('auth')).collection('users')
    const { _id, ...boss } = (await users.findOne({ username: admin.username })) ?? {}
    await users.insertMany(
      Array.from({ length: 1_000 }, (_, n) => ({ ...boss, usernameKey: `boss-${n}`, emailKey: `boss-${n}` })),
    )
    const theirs = { ...environment, MONGODB_DATABASE: own.database, DATA_DIR: own.dataDir }
    const { admins } = JSON.parse((await run(theirs, ['list', '--json'])).stdout)
    expect(admins).toHaveLength(1_000)
    await own.close()
  })
})

it('sign-out ends every session of an account, and keeps its password', async () => {
  const ada = await shop.customer()
  const outcome = await command('sign-out', ada.email)
  expect(outcome).toMatchObject({ code: 0, stdout: `${ada.username} is signed out everywhere\n` })
  expect(eventsOf(outcome)).toEqual([
    expect.objectContaining({ event: 'auth.signed_out', userId: ada.userId, by: 'operator' }),
  ])
  expect((await refresh(ada.refreshToken)).status).toBe(401)
  expect((await signIn(ada.username, ada.password)).status).toBe(200)
})

it('reset-password replaces the password of an account, and ends its sessions', async () => {
  const ada = await shop.customer()
  const outcome = await run(environment, ['reset-password', ada.email], 'found it under the mat')
  expect(outcome).toMatchObject({ code: 0, stdout: expect.stringContaining('signed out everywhere') })
  expect(eventsOf(outcome)).toEqual([
    expect.objectContaining({ event: 'auth.password_changed', userId: ada.userId, by: 'operator' }),
  ])
  expect((await refresh(ada.refreshToken)).status).toBe(401)
  expect((await signIn(ada.username, ada.password)).status).toBe(401)
  expect((await signIn(ada.username, 'found it under the mat')).status).toBe(200)
})

describe('the command line of npm run admin', () => {
  it.each<[string[], number, string]>([
    [['list', '--frob'], 2, 'argument 2 is not an option: the options are --json, --help'],
    [['--help'], 0, 'npm run admin'],
  ])('npm run admin %j ends with the usage, without any configuration', async (args, code, first) => {
    const outcome = await run({}, args)
    expect(outcome.code).toBe(code)
    const text = code === 0 ? outcome.stdout : outcome.stderr
    expect(text.split('\n')[0]).toContain(first)
    for (const name of ['create', 'promote', 'demote', 'list', 'sign-out', 'reset-password'])
      expect(text).toContain(`  ${name} `)
  })

  it('npm run admin exits with 2 if the database does not answer, or if the module of the command is not hosted', async () => {
    const [away, elsewhere] = await Promise.all([
      run({ ...environment, MONGODB_URI: 'mongodb://127.0.0.1:9' }, ['list']),
      run({ ...environment, SERVICE: 'product', AUTH_URL: 'http://127.0.0.1:9' }, ['list']),
    ])
    expect(away.code).toBe(2)
    expect(elsewhere).toMatchObject({ code: 2, stderr: expect.stringContaining('SERVICE') })
  })
})

describe('npm run admin at a terminal', () => {
  /**
   * Runs the command on a pseudo-terminal (`script` of util-linux), and types one line at each prompt.
   * @param line the rest of the shell's command line
   */
  function atTerminal(
    args: readonly string[],
    typed: readonly string[],
    line = '',
    settings: Record<string, string> = {},
  ): Promise<{ code: number | null; shown: string; processes: string }> {
    const quoted = [process.execPath, script, ...args].map((part) => `'${part}'`).join(' ')
    const child = spawn('script', ['-qefc', `${quoted} ${line}`, '/dev/null'], {
      env: { ...environment, TERM: 'dumb', ...settings },
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const shown = textOf(child.stdout)
    let processes = ''
    const answers = [...typed]
    let prompts = 0
    child.stdout.on('data', () => {
      const asked = shown().split('new password').length - 1
      // Both prompts contain the words `new password`, so that a line is typed for each occurrence.
      while (prompts < asked && answers.length > 0) {
        prompts += 1
        processes = commandLines()
        child.stdin.write(answers.shift())
      }
    })
    return new Promise((resolve) =>
      child.once('close', (code) => resolve({ code, shown: shown(), processes })),
    )
  }

  /** @returns the command lines of all processes, which every user of the machine can see */
  const commandLines = () =>
    execFileSync('ps', ['-eww', '-o', 'args='], { encoding: 'utf8', maxBuffer: 100_000_000 })

  it('create asks for the password twice at a terminal, and does not show it', async () => {
    const secret = 'nobody sees this one'
    const { code, shown, processes } = await atTerminal(
      ['create', 'typist', 'typist@example.com'],
      [`${secret}\r`, `${secret}\r`],
    )
    expect({ code, shown }).toMatchObject({ code: 0 })
    expect(shown).toMatch(/^new password: \r\nnew password, again: \r\n/)
    expect(shown).toContain('\ntypist is an admin now')
    expect(shown).not.toContain(secret)
    // The command lines were read while the command waited at a prompt.
    expect(processes).toContain('typist@example.com')
    expect(processes).not.toContain(secret)
    expect((await signIn('typist', secret)).status).toBe(200)
  })

  it('create refuses two passwords that differ', async () => {
    const { code, shown } = await atTerminal(
      ['create', 'waverer', 'waverer@example.com'],
      ['this is the one\r', 'or maybe this one\r'],
    )
    const reason = '\r\nnew password: the two inputs are not the same\r\n'
    expect({ code, shown }).toMatchObject({ code: 1, shown: expect.stringContaining(reason) })
    expect((await signIn('waverer', 'this is the one')).status).toBe(401)
  })

  it.each([
    ['Ctrl-C', ['\u0003']],
    ['Ctrl-C at the second prompt', ['nobody sees this one\r', '\u0003']],
    ['Ctrl-D', ['\u0004']],
  ])('create changes nothing if the operator leaves the prompt with %s', async (_what, typed) => {
    const { code, shown } = await atTerminal(['create', 'leaver', 'leaver@example.com'], typed)
    expect({ code, shown }).toMatchObject({
      code: 130,
      shown: expect.stringContaining('nothing was changed'),
    })
    const users = (await shop.collections('auth')).collection('users')
    expect(await users.countDocuments({ username: 'leaver' })).toBe(0)
  })

  it('npm run admin keeps its log out of the output that goes to a file', async () => {
    const { username } = await shop.customer()
    const file = join(shop.dataDir, 'answer.json')
    const line = `--json > '${file}'`
    const { code, shown } = await atTerminal(['promote', username], [], line, { LOG_LEVEL: 'info' })
    expect({ code, shown }).toMatchObject({ code: 0, shown: expect.stringContaining('auth.role_changed') })
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ username, role: 'admin' })
  })
})

it('npm run admin uses the embedded MongoDB, before the first start of the program and while it runs', async () => {
  const dataDir = await makeDatabaseFolder()
  // The embedded MongoDB needs variables of this process, which say where mongod is.
  const embedded = { ...process.env, ...environment, MONGODB_URI: '', DATA_DIR: dataDir }
  const first = await run(embedded, ['create', 'early', 'early@example.com'], 'the boat in the bottle')
  expect(first).toMatchObject({ code: 0, stdout: expect.stringContaining('early is an admin now') })

  const main = fork(fileURLToPath(new URL('../main.ts', import.meta.url)), {
    env: { ...embedded, PORT: '0', DEMO: 'false' },
    execArgv: [],
    silent: true,
  })
  onTestFinished(() => void main.kill('SIGKILL'))
  const ended = once(main, 'exit')
  const [{ port }] = (await Promise.race([once(main, 'message'), ended])) as [{ port: number }]
  const running = createClient((path, init) => fetch(`http://127.0.0.1:${port}${path}`, init))
  const { refreshToken } = await running.signIn('early@example.com', 'the boat in the bottle')
  const reset = await run(embedded, ['reset-password', 'early'], 'found it under the mat')
  expect(reset).toMatchObject({ code: 0, stdout: expect.stringContaining('signed out everywhere') })
  // The running program uses the MongoDB that the command has changed.
  expect((await running.post('/token/refresh', { body: { refreshToken } })).status).toBe(401)
  expect(await running.login('early@example.com', 'found it under the mat')).toEqual(expect.any(String))
  main.kill('SIGTERM')
  await ended
  await rm(dataDir, { recursive: true, force: true, maxRetries: 20 })
}, 120_000)
