import { type ChildProcess, execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Account, type Client, createClient } from '#test/support/client.ts'
import { outputOf } from '#test/support/output.ts'
import { processEnvironment, type Shape, shapes } from '#test/support/processes.ts'
import { conflictOf, faultOfName } from '../../scripts/new-module/check-name.ts'
import { editedFiles } from '../../scripts/new-module/edits.ts'
import { fill, formsOf, pluralOf } from '../../scripts/new-module/name-forms.ts'

// `npm run new-module` runs in a copy of the program, and the copy must then be a sound program.

const root = fileURLToPath(new URL('../..', import.meta.url))
const parts = [
  ...['src', 'test', 'bench', 'scripts', 'examples', 'deploy', 'docs', 'docker-compose.yml', 'package.json'],
  ...['tsconfig.json', 'tsconfig.browser.json', 'biome.json', '.gitignore', '.dependency-cruiser.mjs'],
]
/** Names that no module of the program has, so that this test also passes after a module was added. */
const added = ['trial-story', 'trial-box']

interface Ran {
  code: number
  output: string
}

let copy: string
/** What the program printed for each new module. */
const printed: Ran[] = []

/** Runs a program of the copy on the Node.js that runs this test. */
const run = (program: string, ...args: string[]): Promise<Ran> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, [program, ...args], { cwd: copy }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? Number.NaN, output: stdout + stderr }),
    )
  })
const addModule = (...args: string[]) => run('scripts/new-module.ts', ...args)

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'trivet-new-module-'))
  for (const part of parts) await cp(join(root, part), join(copy, part), { recursive: true })
  const configurations = (await readdir(root)).filter((name) => /^vitest.*\.ts$/.test(name))
  for (const name of configurations) await cp(join(root, name), join(copy, name))
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction')
}, 120_000)
afterAll(() => rm(copy, { recursive: true, force: true }))

/** The texts of the files that a new module changes or adds, by path. */
async function filesOfCopy(): Promise<Record<string, string>> {
  const files: Record<string, string> = {}
  for (const folder of ['src', 'test', 'deploy', 'docs', 'examples']) {
    for (const entry of await readdir(join(copy, folder), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      if (entry.isFile() && !/\.(png|svg)$/.test(path)) files[path] = await readFile(path, 'utf8')
    }
  }
  return files
}

describe('a name that cannot be used', () => {
  it.each([
    ...[
      'Review',
      'gift_card',
      'giftCard',
      '-card',
      'gift--card',
      'card-',
      'a.b',
      '../x',
      'card2',
      '',
      'two words',
    ],
    ...['reviews', 'boxes', 'a-name-that-is-longer-than-it-may-be'],
    ...[
      'internal',
      'docs',
      'problem',
      'metrics',
      'kernel',
      'host',
      'all',
      'trivet',
      'monolith',
      'mongodb',
      'root',
      'admin',
    ],
    ...['class', 'import', 'new', 'promise'],
  ])('the name %j is refused', (name) => {
    expect(faultOfName(name)).toMatch(/^(must|is) /)
  })

  it('a plural that does not begin like the name is refused, because it is the second word of the name', () => {
    expect(faultOfName('gift', 'card')).toMatch('a hyphen joins its words: gift-card')
    expect(faultOfName('person', 'people')).toBeUndefined()
  })

  it.each(['review', 'gift-card', 'category', 'address', 'box', 'wish-list', 'bonus', ...added])(
    'the name %s is accepted',
    (name) => {
      expect(faultOfName(name)).toBeUndefined()
    },
  )

  it.each(added)('nothing has the name %s', async (name) => {
    expect(await conflict(name)).toBeUndefined()
  })

  const taken = { modules: ['auth', 'product', 'order'], problemCodes: ['coupon_not_found'] }
  const conflict = async (name: string) => {
    const folder = join(root, 'scripts/new-module/sample-item')
    const names = await readdir(folder)
    const templates = await Promise.all(names.map((each) => readFile(join(folder, each), 'utf8')))
    return conflictOf(root, formsOf(name), templates, taken)
  }

  it.each([
    ['order', 'the folder src/modules/order exists already'],
    ['coupon', 'the problem coupon_not_found exists already'],
    ['stock-change', 'the OpenAPI document has a schema StockChange already'],
    ['nginx', 'the deployment has an object with the name nginx already'],
    ['prometheus', 'the deployment has an object with the name prometheus already'],
    ['call', 'the code of every new module has another call'],
    ['guard', 'the code of every new module has another guard'],
    ['user', 'the OpenAPI document has a schema User already'],
  ])('the name %s conflicts with what exists: %s', async (name, message) => {
    expect(await conflict(name)).toBe(message)
  })
})

it.each([
  ['review', 'reviews'],
  ['gift-card', 'gift-cards'],
  ['category', 'categories'],
  ['address', 'addresses'],
  ['box', 'boxes'],
  ['day', 'days'],
  ['branch', 'branches'],
])('the plural of %s is %s', (noun, plural) => {
  expect(pluralOf(noun)).toBe(plural)
})

it('a template gets each form of the name, with the right article', () => {
  const template = 'sample-items sampleItem SampleItems SAMPLE_ITEM_ sample_item Sample items: a sample item'
  expect(fill(template, formsOf('gift-card'))).toBe(
    'gift-cards giftCard GiftCards GIFT_CARD_ gift_card Gift cards: a gift card',
  )
  expect(fill('A sample item, and a sample item', formsOf('address'))).toBe('An address, and an address')
  expect(fill('in a sample item', formsOf('unit'))).toBe('in a unit')
  expect(fill('in a sample item', formsOf('hour'))).toBe('in an hour')
  expect(fill('sample items, sampleItem', formsOf('person', 'people'))).toBe('people, person')
  expect(fill('sample-item sample items', formsOf('sample-item-x'))).toBe('sample-item-x sample item xes')
})

describe('the program before it adds a module', () => {
  it.each<[string[], number, string]>([
    [[], 2, 'the name of the module is missing'],
    [['Review'], 2, '"Review" must be a noun in lower case'],
    [['review', 'reviews', 'rating'], 2, '"rating": only one module can be added at a time'],
    [['person', 'People'], 2, '"People" must be a noun in lower case'],
    [['series', 'series'], 2, '"series" is given twice: the plural must differ from it'],
    [['--force'], 2, '"--force" is not an option'],
    [['product'], 1, 'the module product cannot be added: the folder src/modules/product exists already'],
    [['--help'], 0, 'npm run new-module -- <name> [<plural>]'],
  ])('the arguments %j end with %i and a message, and nothing is written', async (args, code, message) => {
    const before = await filesOfCopy()
    const ran = await addModule(...args)
    expect(ran).toEqual({ code, output: expect.stringContaining(message) })
    expect(ran.output).not.toMatch(/\n +at /)
    expect(await filesOfCopy()).toEqual(before)
  })

  it.each([
    // The place for the new line is missing.
    [
      'deploy/nginx/nginx.conf.template',
      '(internal|metrics)',
      'deploy/nginx/nginx.conf.template must have this place',
    ],
    // The OpenAPI document cannot be generated after the files were written.
    ['src/http/join-operations.ts', 'import ', 'scripts/openapi.ts failed'],
  ])('a fault in %s ends the program, and every file is as before', async (file, place, message) => {
    const path = join(copy, file)
    const text = await readFile(path, 'utf8')
    await writeFile(path, text.replace(place, '?'))
    const before = await filesOfCopy()
    const ran = await addModule('trial-story')
    expect(ran.code).toBe(1)
    expect(ran.output).toContain(message)
    expect(await filesOfCopy()).toEqual(before)
    await writeFile(path, text)
  })
})

/** The files that are new or changed, and those without which they have no types. */
const withModules = [
  ...added.map((name) => `src/modules/${name}`),
  ...[
    'src/registry.ts',
    'src/http/openapi-document.ts',
    'deploy/generate-secrets.mjs',
    'deploy/mongodb/initiate.js',
  ],
  ...['test/support', 'test/deployment/manifests'],
]

describe('the copy with two new modules', () => {
  let checks: Ran[]
  beforeAll(async () => {
    for (const name of added) printed.push(await addModule(name))
    // The rest of the copy is the checked program.
    const configuration = { extends: './tsconfig.json', include: withModules }
    await writeFile(join(copy, 'tsconfig.new.json'), JSON.stringify(configuration))
    checks = await Promise.all([
      run('node_modules/typescript/bin/tsc', '--project', 'tsconfig.new.json'),
      run('node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings', ...withModules),
      run(
        'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs',
        ...['--config', '.dependency-cruiser.mjs', 'src'],
      ),
      run('scripts/openapi.ts', '--check'),
    ])
  }, 300_000)

  it('the program names each file that it wrote, and the next commands', () => {
    for (const [at, name] of added.entries()) {
      const { code, output } = printed[at] as Ran
      expect(code, output).toBe(0)
      expect(output).toContain(`new      src/modules/${name}/module.ts`)
      expect(output).toContain('changed  src/registry.ts')
      expect(output.match(/^ {2}npm run /gm)).toHaveLength(5)
    }
  })

  it('types, lint, boundaries and the OpenAPI document of the copy are right', () => {
    expect(checks).toHaveLength(4)
    for (const { code, output } of checks) expect(code, output).toBe(0)
  })

  it('a module that exists cannot be added again', async () => {
    expect(await addModule('trial-box')).toEqual({
      code: 1,
      output: 'the module trial-box cannot be added: the folder src/modules/trial-box exists already\n',
    })
  })

  it('every file that a new module changes names both modules', async () => {
    for (const file of editedFiles) {
      const letters = (await readFile(join(copy, file), 'utf8')).toLowerCase().replaceAll(/[-_ ]/g, '')
      for (const { camel, camelPlural } of added.map((name) => formsOf(name))) {
        const named = [camel, camelPlural].some((form) => letters.includes(form.toLowerCase()))
        expect(named, `${file} names ${camel}`).toBe(true)
      }
    }
  })

  it('no placeholder is left in a new or changed file', async () => {
    const files = Object.entries(await filesOfCopy())
    const withPlaceholder = files.filter(([, text]) => /sample[-_ ]?item/i.test(text)).map(([path]) => path)
    expect(withPlaceholder.filter((path) => !path.endsWith('new-module.test.ts'))).toEqual([])
  })

  describe.each(Object.keys(shapes) as Shape[])('running, %s', (shape) => {
    let child: ChildProcess
    let client: Client
    let ada: Account
    let exited: Promise<number | null>
    beforeAll(async () => {
      const env = { ...processEnvironment(), DATA_DIR: join(copy, '.data', shape) }
      child = fork(join(copy, 'src', shapes[shape]), { env, cwd: copy, silent: true, execArgv: [] })
      const output = outputOf(child)
      exited = once(child, 'exit').then(([code]) => code as number | null)
      const ready = await Promise.race([once(child, 'message'), exited])
      if (!Array.isArray(ready)) throw new Error(`the program did not start:\n${output()}`)
      const [{ port }] = ready as [{ port: number }]
      client = createClient((path, init) => fetch(`http://127.0.0.1:${port}${path}`, init))
      ada = await client.customer()
    }, 120_000)
    afterAll(async () => {
      child.kill('SIGTERM')
      expect(await exited).toBe(0)
    })

    it.each([
      ['/trial-stories', 'trialStoryId', 'trial_story_not_found'],
      ['/trial-boxes', 'trialBoxId', 'trial_box_not_found'],
    ])('%s of a new module creates, reads, and answers with its own problem', async (path, idField, code) => {
      const { token, userId } = ada
      const created = await client.post(path, { token, body: { name: 'Mine' } })
      expect(created).toMatchObject({ status: 201, body: { name: 'Mine', userId } })
      expect(await client.get(`${path}/${created.body[idField]}`, { token })).toMatchObject({
        status: 200,
        body: created.body,
      })
      const unknown = await client.get(`${path}/0123456789abcdef01234567`, { token })
      expect(unknown).toMatchObject({ status: 404, body: { code, type: `/problems/${code}` } })
      expect(await client.get(`/problems/${code}`)).toMatchObject({ status: 200, body: { code } })
      expect((await client.post(path, { body: { name: 'Mine' } })).body.code).toBe('unauthenticated')
    })
  })
})
