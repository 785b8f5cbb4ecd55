import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { parse } from 'yaml'
import { loadConfig } from '#kernel/config/load-config.ts'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { registry } from '#src/registry.ts'

interface Service {
  image: string
  build?: { context: string; args: Record<string, string> }
  profiles?: string[]
  user?: string
  read_only?: boolean
  cap_drop?: string[]
  restart?: string
  command?: string[]
  entrypoint?: string[]
  environment?: Record<string, string>
  ports?: string[]
  volumes?: string[]
  networks?: string[] | Record<string, { ipv4_address?: string } | null>
  network_mode?: string
  healthcheck?: { test?: string[]; disable?: boolean }
  stop_grace_period?: string
  deploy?: { replicas: number }
  depends_on?: Record<string, { condition: string }>
  mem_limit?: string
  pids_limit?: number
  logging?: { driver: string; options: Record<string, string> }
}

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const { services, networks, volumes } = parse(read('docker-compose.yml'), { merge: true }) as {
  services: Record<string, Service>
  networks: Record<string, unknown>
  volumes: Record<string, unknown>
}
const all = Object.entries(services)
const modules = registry.map(({ name }) => name)
/** Those that run the program, by what they host. */
const hosts = all.filter(([, { environment }]) => environment?.SERVICE !== undefined)
/** Those that end by themselves: who waits for them waits for that. */
const awaited = new Set(
  all.flatMap(([, { depends_on = {} }]) =>
    Object.entries(depends_on).flatMap(([name, { condition }]) =>
      condition === 'service_completed_successfully' ? [name] : [],
    ),
  ),
)
const lasting = all.filter(([name]) => !awaited.has(name))
/** `${NAME:-value}` as it is where nobody has set NAME. */
const unset = (text: string) => text.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1')
/** A service, and all that is started with it. */
const startedWith = (name: string): string[] => [
  ...new Set([name, ...Object.keys(services[name]?.depends_on ?? {}).flatMap(startedWith)]),
]
const shapes = {
  /** `docker compose up` */
  'one process': all.filter(([, { profiles }]) => profiles === undefined).map(([name]) => name),
  /** `docker compose up auth product order nginx` */
  split: [...new Set([...modules, 'nginx'].flatMap(startedWith))],
}

describe('the compose file', () => {
  it('has one container with everything unless told otherwise, and each module by itself where it is split', () => {
    const common = ['mongodb', 'mongodb-setup', 'secrets']
    expect(shapes['one process'].sort()).toEqual([...common, 'trivet'].sort())
    expect(shapes.split.sort()).toEqual([...common, ...modules, 'nginx'].sort())
    for (const name of [...modules, 'nginx']) expect(services[name]?.profiles).toEqual(['split'])
    expect(services.trivet?.environment?.SERVICE).toBe('all')
    for (const name of modules) {
      expect(services[name]).toMatchObject({ environment: { SERVICE: name }, deploy: { replicas: 2 } })
    }
  })

  it('publishes one port in either shape', () => {
    for (const started of Object.values(shapes)) {
      const published = started.flatMap((name) => services[name]?.ports ?? [])
      expect(published.map(unset)).toEqual(['3000:3000'])
    }
  })

  it('reads no secret from the environment, nor from .env', () => {
    const variables = [...read('docker-compose.yml').matchAll(/\$\{?(\w+)/g)].map(([, variable]) => variable)
    expect([...new Set(variables)].sort()).toEqual([
      'ADMIN_EMAIL',
      'ADMIN_USERNAME',
      'EDGE_NETWORK',
      'LOG_LEVEL',
      'PORT',
      'REVISION',
      'VERSION',
    ])
    for (const [name, service] of all) expect(service, name).not.toHaveProperty('env_file')
  })

  it.each(['one process', 'split'] as const)(
    'builds the image of the program once, in the shape %s',
    (shape) => {
      const built = shapes[shape].filter((name) => services[name]?.build)
      expect(built).toHaveLength(1)
      const { image, build } = services[built[0] ?? ''] ?? {}
      expect(build).toEqual({
        context: '.',
        // biome-ignore-start lint/suspicious/noTemplateCurlyInString: compose fills them in
        args: { VERSION: '${VERSION:-dev}', REVISION: '${REVISION:-unknown}' },
        // biome-ignore-end lint/suspicious/noTemplateCurlyInString: compose fills them in
      })
      expect(new Set(hosts.map(([, host]) => host.image))).toEqual(new Set([image]))
    },
  )

  it('makes secrets with the image that the program is built on, which a new version leaves as it is', () => {
    const bases = [...read('Dockerfile').matchAll(/^FROM (\S+)/gm)].map(([, base]) => base)
    expect(new Set(bases)).toEqual(new Set([services.secrets?.image]))
  })

  // Where compose replaces a container, it stops all that depend on it.
  it.each(all.filter(([name]) => !hosts.some(([host]) => host === name)))(
    'has %s depend on nothing that a new version of the program replaces',
    (name) => {
      const needs = (of: string): string[] =>
        Object.keys(services[of]?.depends_on ?? {}).flatMap((needed) => [needed, ...needs(needed)])
      expect(hosts.filter(([host]) => needs(name).includes(host)).map(([host]) => host)).toEqual([])
    },
  )

  it.each(all)('bounds the memory, the processes and the log of %s', (_, service) => {
    expect(service.mem_limit).toMatch(/^\d+[mg]$/)
    expect(service.pids_limit).toBeGreaterThanOrEqual(64)
    expect(service.logging).toEqual({
      driver: 'json-file',
      options: { 'max-size': expect.stringMatching(/^\d+m$/), 'max-file': expect.stringMatching(/^\d+$/) },
    })
  })

  it('names only what there is', () => {
    for (const [name, { depends_on = {}, networks: own = [], volumes: mounted = [] }] of all) {
      for (const needed of Object.keys(depends_on)) expect(services, name).toHaveProperty([needed])
      for (const network of Array.isArray(own) ? own : Object.keys(own)) {
        expect(networks, name).toHaveProperty([network])
      }
      for (const [source = ''] of mounted.map((mount) => mount.split(':'))) {
        if (source.startsWith('.')) expect(existsSync(join(root, source)), source).toBe(true)
        else expect(volumes, name).toHaveProperty([source])
      }
    }
  })

  it.each(lasting)(
    'looks whether %s is well, starts it again, and starts it after what it needs',
    (_, service) => {
      expect(service.healthcheck?.test?.[0]).toBe('CMD')
      expect(service.restart).toBe('unless-stopped')
      for (const [needed, { condition }] of Object.entries(service.depends_on ?? {})) {
        expect(condition).toBe(awaited.has(needed) ? 'service_completed_successfully' : 'service_healthy')
      }
    },
  )

  it.each(hosts)(
    'has %s read its secrets from files of its own, and has its settings right',
    (name, service) => {
      const folder = mkdtempSync(join(tmpdir(), 'trivet-compose-'))
      onTestFinished(() => rmSync(folder, { recursive: true }))
      const secrets: Record<string, string> = {
        MONGODB_URI: 'mongodb://user:password@mongodb:27017/?replicaSet=trivet',
        JWT_PRIVATE_KEYS: JSON.stringify([generatePrivateKey()]),
        INTERNAL_SECRET: randomUUID(),
        ADMIN_PASSWORD: randomUUID(),
      }
      const environment: Record<string, string> = { NODE_ENV: 'production' }
      for (const [variable, value] of Object.entries(service.environment ?? {})) {
        expect(Object.keys(secrets)).not.toContain(variable)
        environment[variable] = unset(String(value))
        if (!variable.endsWith('_FILE')) continue
        const secret = basename(value)
        expect(variable).toBe(`${secret}_FILE`)
        environment[variable] = join(folder, secret)
        writeFileSync(join(folder, secret), secrets[secret] ?? '')
      }
      const config = loadConfig(environment, registry)
      expect(config.hosted).toEqual(name === 'trivet' ? modules : [name])
      expect(config.drain.timeoutMs / 1_000).toBeLessThan(
        Number.parseInt(service.stop_grace_period ?? '', 10),
      )
      for (const url of Object.values(config.urls)) {
        const { hostname, port } = new URL(url)
        expect(modules).toContain(hostname)
        expect(Number(port)).toBe(config.port)
      }
      expect(service.volumes).toHaveLength(1)
      const sharing = hosts.filter(([, { volumes: mounted }]) => mounted?.[0] === service.volumes?.[0])
      expect(sharing.map(([other]) => other)).toEqual([name])
    },
  )

  it.each([...hosts, ...all.filter(([name]) => name === 'nginx')])(
    'gives %s nothing to write and no rights',
    (_, service) => {
      expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'] })
    },
  )

  it('has the services believe the address that NGINX has, and no other', () => {
    const own = services.nginx?.networks as Record<string, { ipv4_address?: string }> | undefined
    const address = own?.edge?.ipv4_address
    expect(address).toBeDefined()
    for (const name of modules) expect(services[name]?.environment?.TRUSTED_PROXIES).toBe(address)
    expect(services.trivet?.environment).not.toHaveProperty('TRUSTED_PROXIES')
  })

  it('gives NGINX every variable of its configuration', () => {
    const template = read('deploy/nginx/nginx.conf.template')
    const used = new Set([...template.matchAll(/\$\{(\w+)\}/g)].map(([, variable]) => variable))
    // That one is the image's own, where it is asked for it.
    const { NGINX_ENTRYPOINT_LOCAL_RESOLVERS: asked, ...given } = services.nginx?.environment ?? {}
    expect(asked).toBe('true')
    expect(used.size).toBeGreaterThan(3)
    for (const variable of used)
      if (variable !== 'NGINX_LOCAL_RESOLVERS') expect(given).toHaveProperty([variable ?? ''])
  })

  it('has MongoDB as a replica set with authentication, which forgets the transactions of the dead', () => {
    const { command = [], volumes: mounted = [] } = services.mongodb ?? {}
    expect(command).toContain('--replSet=trivet')
    expect(command.join(' ')).toContain('--keyFile=')
    expect(command).toContain('--setParameter=transactionLifetimeLimitSeconds=10')
    expect(mounted).toContain('mongodb:/data/db')
  })

  it('mixes no secret into itself', () => {
    const text = read('docker-compose.yml')
    expect(text).not.toMatch(/mongodb(\+srv)?:\/\/\S+:\S+@/)
    expect(text).not.toMatch(/(PASSWORD|SECRET|KEYS|KEY|TOKEN): \S/)
  })
})

describe('the image', () => {
  it('is told its version last, since all that follows is built anew for each', () => {
    const instructions = [...read('Dockerfile').matchAll(/^([A-Z]+) /gm)].map(([, name]) => name)
    expect(instructions.slice(-3)).toEqual(['ARG', 'ARG', 'LABEL'])
  })
})

describe('what is left out of the image', () => {
  const ignored = read('.dockerignore').split('\n')

  it('is everything but what production runs', () => {
    expect(ignored.filter((line) => line !== '' && !line.startsWith('#'))[0]).toBe('*')
    expect(ignored.filter((line) => line.startsWith('!'))).toEqual([
      '!package.json',
      '!package-lock.json',
      '!src',
    ])
    for (const path of ['src/embedded', 'src/dev', '**/*.test.ts', '**/*.suite.ts']) {
      expect(ignored).toContain(path)
    }
  })
})
