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
/** The services that run the program. */
const hosts = all.filter(([, { environment }]) => environment?.SERVICE !== undefined)
/** The services that run once and end. The services that depend on them wait for that. */
const oneTime = new Set(
  all.flatMap(([, { depends_on = {} }]) =>
    Object.entries(depends_on).flatMap(([name, { condition }]) =>
      condition === 'service_completed_successfully' ? [name] : [],
    ),
  ),
)
const longRunning = all.filter(([name]) => !oneTime.has(name))
/** Replaces `${NAME:-value}` with its default. */
const withDefaults = (text: string) => text.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1')
/** Returns a service and its dependencies. */
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
  it('docker compose up starts one process by default, and two replicas of each module in the split shape', () => {
    const common = ['mongodb', 'mongodb-setup', 'secrets']
    expect(shapes['one process'].sort()).toEqual([...common, 'trivet'].sort())
    expect(shapes.split.sort()).toEqual([...common, ...modules, 'nginx'].sort())
    for (const name of [...modules, 'nginx']) expect(services[name]?.profiles).toEqual(['split'])
    expect(services.trivet?.environment?.SERVICE).toBe('all')
    for (const name of modules) {
      expect(services[name]).toMatchObject({ environment: { SERVICE: name }, deploy: { replicas: 2 } })
    }
  })

  it('each shape publishes one port', () => {
    for (const started of Object.values(shapes)) {
      const published = started.flatMap((name) => services[name]?.ports ?? [])
      expect(published.map(withDefaults)).toEqual(['3000:3000'])
    }
  })

  it('the compose file reads no secret from the environment or .env', () => {
    const variables = [...read('docker-compose.yml').matchAll(/\$\{?(\w+)/g)].map(([, variable]) => variable)
    expect([...new Set(variables)].sort()).toEqual([
      'ADMIN_EMAIL',
      'ADMIN_USERNAME',
      'CURRENCY',
      'EDGE_NETWORK',
      'LOG_LEVEL',
      'PORT',
      'REVISION',
      'VERSION',
    ])
    for (const [name, service] of all) expect(service, name).not.toHaveProperty('env_file')
  })

  it.each(['one process', 'split'] as const)('the image is built once in the shape %s', (shape) => {
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
  })

  it('secrets are made with the base image, which a new version does not replace', () => {
    const bases = [...read('Dockerfile').matchAll(/^FROM (\S+)/gm)].map(([, base]) => base)
    expect(new Set(bases)).toEqual(new Set([services.secrets?.image]))
  })

  // Compose stops the dependents of a container that it replaces.
  it.each(all.filter(([name]) => !hosts.some(([host]) => host === name)))(
    '%s does not depend on a container that a new version replaces',
    (name) => {
      const needs = (of: string): string[] =>
        Object.keys(services[of]?.depends_on ?? {}).flatMap((needed) => [needed, ...needs(needed)])
      expect(hosts.filter(([host]) => needs(name).includes(host)).map(([host]) => host)).toEqual([])
    },
  )

  it.each(all)('%s has limits for memory, processes and log', (_, service) => {
    expect(service.mem_limit).toMatch(/^\d+[mg]$/)
    expect(service.pids_limit).toBeGreaterThanOrEqual(64)
    expect(service.logging).toEqual({
      driver: 'json-file',
      options: { 'max-size': expect.stringMatching(/^\d+m$/), 'max-file': expect.stringMatching(/^\d+$/) },
    })
  })

  it('every dependency, network and volume exists', () => {
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

  it.each(longRunning)('%s has a health check, restarts, and starts after its dependencies', (_, service) => {
    expect(service.healthcheck?.test?.[0]).toBe('CMD')
    expect(service.restart).toBe('unless-stopped')
    for (const [needed, { condition }] of Object.entries(service.depends_on ?? {})) {
      expect(condition).toBe(oneTime.has(needed) ? 'service_completed_successfully' : 'service_healthy')
    }
  })

  it.each(hosts)(
    '%s reads its secrets from files of its own and has a valid configuration',
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
        environment[variable] = withDefaults(String(value))
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
    '%s has a read-only file system and no capabilities',
    (_, service) => {
      expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'] })
    },
  )

  it('the services trust the address of NGINX as a proxy, and no other', () => {
    const own = services.nginx?.networks as Record<string, { ipv4_address?: string }> | undefined
    const address = own?.edge?.ipv4_address
    expect(address).toBeDefined()
    for (const name of modules) expect(services[name]?.environment?.TRUSTED_PROXIES).toBe(address)
    expect(services.trivet?.environment).not.toHaveProperty('TRUSTED_PROXIES')
  })

  it('NGINX gets every variable of its configuration', () => {
    const template = read('deploy/nginx/nginx.conf.template')
    const used = new Set([...template.matchAll(/\$\{(\w+)\}/g)].map(([, variable]) => variable))
    // The image itself sets NGINX_LOCAL_RESOLVERS.
    const { NGINX_ENTRYPOINT_LOCAL_RESOLVERS: resolvers, ...given } = services.nginx?.environment ?? {}
    expect(resolvers).toBe('true')
    expect(used.size).toBeGreaterThan(3)
    for (const variable of used)
      if (variable !== 'NGINX_LOCAL_RESOLVERS') expect(given).toHaveProperty([variable ?? ''])
  })

  it('NGINX sends the paths of each module to its service, and no internal path to any', () => {
    const [, map = ''] =
      read('deploy/nginx/nginx.conf.template').match(/map \$uri \$service \{([\s\S]*?)\n {4}\}/) ?? []
    const rules = [...map.matchAll(/^ +~(\S+) +(\S+);$/gm)].map(
      ([, pattern = '', service]) => [new RegExp(pattern), service] as const,
    )
    const serviceOf = (path: string) => rules.find(([pattern]) => pattern.test(path))?.[1]
    for (const { name, api } of registry)
      for (const { path } of Object.values(api)) expect(serviceOf(path), path).toBe(name)
    for (const path of ['/internal/product/reserve', '/metrics']) expect(serviceOf(path), path).toBe('""')
  })

  it('MongoDB is a replica set with authentication and a transaction lifetime of 10 s', () => {
    const { command = [], volumes: mounted = [] } = services.mongodb ?? {}
    expect(command).toContain('--replSet=trivet')
    expect(command.join(' ')).toContain('--keyFile=')
    expect(command).toContain('--setParameter=transactionLifetimeLimitSeconds=10')
    expect(mounted).toContain('mongodb:/data/db')
  })

  it('the compose file contains no secret', () => {
    const text = read('docker-compose.yml')
    expect(text).not.toMatch(/mongodb(\+srv)?:\/\/\S+:\S+@/)
    expect(text).not.toMatch(/(PASSWORD|SECRET|KEYS|KEY|TOKEN): \S/)
  })
})

describe('the image', () => {
  it('the Dockerfile sets the version last, so that earlier layers stay cached', () => {
    const instructions = [...read('Dockerfile').matchAll(/^([A-Z]+) /gm)].map(([, name]) => name)
    expect(instructions.slice(-3)).toEqual(['ARG', 'ARG', 'LABEL'])
  })
})

describe('.dockerignore', () => {
  const ignored = read('.dockerignore').split('\n')

  it('the image contains only what production runs', () => {
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
