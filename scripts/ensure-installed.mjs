// Runs before `npm start`, `npm run split` and `npm test`, on whatever Node.js (20 or later) the machine has:
// installs what package-lock.json names unless that is what is installed already.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const stamp = join(root, 'node_modules', '.installed-lock')
const runtime = join(root, 'node_modules', '.bin', process.platform === 'win32' ? 'node.cmd' : 'node')
const lock = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex')

const installed = existsSync(stamp) && existsSync(runtime) && readFileSync(stamp, 'utf8') === lock
if (!installed) {
  console.log('Installing dependencies (npm ci), once per change of package-lock.json ...')
  // Without node_modules/.bin: npm ci removes the Node.js there, and must not run on what it removes.
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((entry) => !entry.endsWith(join('node_modules', '.bin')))
    .join(delimiter)
  // npm 11 warns of every package whose engines exceed the machine's own Node.js; all of them run on node@26.
  const { status, error } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: { ...process.env, PATH: path, NODE_ENV: 'development' },
  })
  if (error || status !== 0) {
    console.error(`npm ci failed${error ? `: ${error.message}` : ` with exit code ${status}`}`)
    process.exit(1)
  }
  if (!existsSync(runtime)) {
    console.error(
      'npm did not run the install script of the package "node", which fetches Node.js 26.\n' +
        'Allow it (npm config: ignore-scripts=false) and start again.',
    )
    process.exit(1)
  }
  writeFileSync(stamp, lock)
}
