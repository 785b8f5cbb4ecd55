import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { docker, noDocker } from './docker.ts'

if (noDocker) console.log(`skipped: ${noDocker}`)

const image = 'trivet-test'
/** The base of the image. The compose file also generates its secrets with this image. */
const base = 'node:26-slim'
const settings = {
  SERVICE: 'all',
  // No server listens there, so that the program waits for its database.
  MONGODB_URI: 'mongodb://127.0.0.1:9/?replicaSet=none',
  JWT_PRIVATE_KEYS: JSON.stringify([generatePrivateKey()]),
}

describe.skipIf(noDocker)('the image', () => {
  beforeAll(async () => {
    await docker([
      'build',
      '--tag',
      image,
      '--build-arg',
      'VERSION=1.2.3',
      '--build-arg',
      'REVISION=abc',
      '.',
    ])
    const size = Number(await docker(['image', 'inspect', image, '--format', '{{.Size}}']))
    const ofBase = Number(await docker(['image', 'inspect', base, '--format', '{{.Size}}']))
    console.log(`image: ${megabytes(size)}, of which ${megabytes(ofBase)} are ${base}`)
    console.log(await inside('du -sm /app/node_modules /app/src | sed "s/^/  /"'))
  })

  const megabytes = (bytes: number) => `${Math.round(bytes / 1_000_000)} MB`
  const inside = (script: string) => docker(['run', '--rm', '--read-only', image, 'sh', '-c', script])

  /** A container that is removed when the test ends. */
  const run = async (environment: Record<string, string> = settings) => {
    const name = `trivet-test-${randomUUID().slice(0, 8)}`
    const variables = Object.entries(environment).flatMap(([key, value]) => ['--env', `${key}=${value}`])
    const hardened = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges:true']
    await docker(['run', '--detach', '--name', name, ...hardened, ...variables, image])
    onTestFinished(async () => void (await docker(['rm', '--force', name])))
    const state = async (field: string) => docker(['inspect', name, '--format', `{{.State.${field}}}`])
    const logs = () => docker(['logs', name])
    const until = async (what: string) => {
      const end = Date.now() + 30_000
      while (!(await logs()).includes(what)) {
        if (Date.now() > end) throw new Error(`it has not printed ${what}:\n${await logs()}`)
        await sleep(50)
      }
    }
    return { name, state, logs, until }
  }

  it('the image contains no secret and no SERVICE, and its labels name the program and its version', async () => {
    const { Env, User, Labels, Healthcheck, Cmd, Entrypoint } = JSON.parse(
      await docker(['image', 'inspect', image, '--format', '{{json .Config}}']),
    )
    const names = (Env as string[]).map((variable) => variable.split('=')[0])
    expect(names).toContain('NODE_ENV')
    expect(names.filter((name) => /SERVICE|SECRET|KEYS|PASSWORD|MONGODB|TOKEN/.test(name ?? ''))).toEqual([])
    expect(User).toBe('node')
    expect(Labels).toMatchObject({
      'org.opencontainers.image.title': 'Trivet',
      'org.opencontainers.image.version': '1.2.3',
      'org.opencontainers.image.revision': 'abc',
    })
    expect(Healthcheck.Test).toEqual(['CMD', 'node', 'src/cli/healthcheck.ts'])
    expect([...(Entrypoint ?? []), ...Cmd].join(' ')).toMatch(/node src\/main\.ts$/)
  })

  it('the image contains only what production needs, and no file that its user can change', async () => {
    const files = (await inside('find /app -path /app/node_modules -prune -o -type f -print')).split('\n')
    expect(files).toContain('/app/src/main.ts')
    expect(files.filter((file) => /embedded|\.test\.|\.suite\.|src\/dev|\.env|README/.test(file))).toEqual([])
    const packages = await inside('ls /app/node_modules /app/node_modules/.bin')
    expect(packages).not.toMatch(/mongodb-memory-server|vitest|typescript|biome|pino-pretty/)
    expect(await inside('find /app -writable')).toBe('')
  })

  it.each(['main', 'cli/admin', 'cli/audit', 'cli/healthcheck'])(
    'the image contains everything that src/%s.ts imports',
    async (file) => {
      const check = `node --eval "import('./src/${file}.ts').catch((e) => { if (e.code === 'ERR_MODULE_NOT_FOUND') console.log(e.message) })"`
      expect(await inside(`timeout 20 ${check} 2>/dev/null || true`)).not.toContain('Cannot find')
    },
  )

  it('a container with a read-only file system is alive while it waits for MongoDB, and ends with exit code 0', async () => {
    const { name, state, until } = await run({ ...settings, LOG_LEVEL: 'debug' })
    await until('waiting for MongoDB')
    await until('"path":"/healthz"')
    expect(await state('Health.Status')).not.toBe('unhealthy')
    await docker(['stop', '--time', '20', name])
    expect(await state('ExitCode')).toBe('0')
  })

  it('generate-secrets.mjs makes the secrets of Compose once, and replaces none that are in use', async () => {
    const script = fileURLToPath(new URL('../../../deploy/generate-secrets.mjs', import.meta.url))
    const mounts = ['--volume', `${script}:/generate-secrets.mjs:ro`, '--tmpfs', '/secrets']
    const generate = 'node /generate-secrets.mjs compose /secrets'
    const inThere = (commands: string) =>
      docker(['run', '--rm', '--user', 'root', ...mounts, base, 'sh', '-ec', commands])
    const password = 'cat /secrets/mongodb-setup/ROOT_PASSWORD; echo'
    const [first, second] = (await inThere(`${generate}; ${password}; ${generate}; ${password}`)).split('\n')
    expect(first).toMatch(/^[\w-]{32}$/)
    expect(second).toBe(first)
    await expect(inThere(`${generate}; rm -r /secrets/all; ${generate}`)).rejects.toThrow(/are in use/)
  })

  it('a container without settings ends with exit code 1 and names a missing setting', async () => {
    const { name, state } = await run({})
    await docker(['wait', name])
    expect(await state('ExitCode')).toBe('1')
    await expect(docker(['run', '--rm', image])).rejects.toThrow(/MONGODB_URI is required/)
  })
})
