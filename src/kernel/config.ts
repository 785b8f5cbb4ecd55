import { readFileSync } from 'node:fs'
import { z } from '@hono/zod-openapi'
import { isAddressRange } from './client-address.ts'
import { faultMessage } from './fault-messages.ts'

/** What the configuration has to know of a module. */
export interface Configurable {
  name: string
  settings?(mode: { production: boolean }): z.ZodObject<z.ZodRawShape>
  needs: Readonly<Record<string, unknown>>
}

/** The environment as the process reads it, typed. Durations are milliseconds. */
export interface Config {
  production: boolean
  /** Names of the modules that this process hosts. */
  hosted: readonly string[]
  /** Where a module that this process does not host answers, by module name. */
  urls: Readonly<Record<string, string>>
  port: number
  host: string
  /** Without `uri`: the embedded MongoDB. */
  mongodb: { uri: string | undefined; database: string }
  dataDir: string
  demo: boolean
  /** The first signs calls between services, all verify; undefined where there is no `/internal`. */
  internalSecrets: readonly [string, ...string[]] | undefined
  requestTimeout: number
  drain: { delay: number; timeout: number }
  corsOrigins: readonly string[]
  /** Whose `X-Forwarded-For` counts: addresses and CIDR ranges. */
  trustedProxies: readonly string[]
  /** Unless it is set, what a terminal shows is less than what a machine reads. */
  logLevel: string | undefined
  /** `iss` and `aud` of access tokens. */
  issuer: string
  /** What each hosted module's own `settings` made of the environment. */
  settings: Readonly<Record<string, unknown>>
}

/** Every fault of the configuration at once; the boot prints the message and ends with exit code 1. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly string[]
  constructor(faults: readonly string[]) {
    super(
      `The configuration has ${faults.length} fault(s):\n${faults.map((fault) => `  - ${fault}`).join('\n')}`,
    )
    this.faults = faults
  }
}

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `15m` → 900000. A number with `ms`, `s`, `m`, `h` or `d`. */
export const duration = z
  .string()
  .regex(/^\d{1,9}(ms|s|m|h|d)$/, 'must be a number with ms, s, m, h or d, such as 15m')
  .transform((value) => Number.parseInt(value, 10) * units[value.replace(/^\d+/, '') as keyof typeof units])

/** A duration that something waits for: timers hold no more than 24 days, people no more than this. */
const wait = duration.pipe(z.int().max(3_600_000, 'must be 1h or less'))

/** How often something may be, within so many milliseconds. */
export interface Rate {
  most: number
  within: number
}

const longestPeriod = 365 * units.d

/** `10/15m` → ten times in fifteen minutes. */
export const rate = z
  .string()
  .regex(/^[1-9]\d{0,8}\/[1-9]\d{0,8}(ms|s|m|h|d)$/, 'must be a number and a duration, such as 10/15m')
  .transform((value): Rate => {
    const [most, within] = value.split('/') as [string, string]
    return { most: Number(most), within: duration.parse(within) }
  })
  .refine(({ within }) => within <= longestPeriod, 'must be within 365d or less')

const flag = z
  .enum(['true', 'false'], { error: 'must be true or false' })
  .transform((value) => value === 'true')
/** An integer in decimal digits. */
export const integer = (min: number, max: number) =>
  z
    .string()
    .refine(
      (value) => /^\d+$/.test(value) && Number(value) >= min && Number(value) <= max,
      `must be an integer from ${min} to ${max}`,
    )
    .transform(Number)
const list = z.string().transform((value) =>
  value
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== ''),
)
const httpUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .refine((value) => !/[?#@]/.test(value), 'must be a base URL: no query, fragment or credentials')

const developmentInternalSecret = 'development-only-internal-secret'

// What stands in examples, for somebody to put a secret in its place.
const placeholder =
  /change.?(me|this|it)|replace.?(me|this|it|with)|(your|my).?(own.?)?(internal.?)?secret|placeholder/i

/**
 * Any variable may be given as the path of a file that has its value, by `<VARIABLE>_FILE`: that is how Docker hands out
 * secrets. White space at its end is not part of it.
 * @param modules every module of the program: their names are what SERVICE may list, `<NAME>_URL` is where each
 * lives when it is remote, and the hosted ones' `settings` are read along.
 * @throws ConfigError
 */
export function loadConfig(environment: NodeJS.ProcessEnv, modules: readonly Configurable[]): Config {
  // An empty variable is an unset one: that is how compose files and shells leave out a value.
  const env = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  const production = env.NODE_ENV === 'production'
  const names = modules.map((module) => module.name)
  const faults: string[] = []

  const readFile = (variable: string) => {
    const path = env[`${variable}_FILE`]
    if (path === undefined) return
    if (env[variable] !== undefined) {
      faults.push(`${variable} and ${variable}_FILE are both set: set one of them`)
      return
    }
    // Variables that several modules share are read once.
    delete env[`${variable}_FILE`]
    try {
      const value = readFileSync(path, 'utf8').trimEnd()
      if (value !== '') env[variable] = value
    } catch (error) {
      faults.push(`${variable}_FILE cannot be read: ${(error as Error).message}`)
    }
  }

  const read = <Schema extends z.ZodObject>(schema: Schema): z.infer<Schema> => {
    for (const variable of Object.keys(schema.shape)) readFile(variable)
    const result = schema.safeParse(env, { error: faultMessage })
    if (result.success) return result.data
    for (const issue of result.error.issues) {
      const variable = String(issue.path[0] ?? '')
      const missing = variable !== '' && env[variable] === undefined
      const complaint = missing && issue.code === 'invalid_type' ? 'is required' : issue.message
      faults.push(variable === '' ? complaint : `${variable} ${complaint}`)
    }
    // What is right is gone on with, to find every fault; nobody else sees it, since `faults` is thrown.
    const right = Object.entries(schema.shape).flatMap(([variable, setting]) => {
      const value = z.safeParse(setting, env[variable])
      return value.success ? [[variable, value.data]] : []
    })
    return Object.fromEntries(right)
  }

  const general = read(
    z.object({
      SERVICE: list
        .refine(
          (value) => value.length > 0 && value.every((name) => name === 'all' || names.includes(name)),
          `must be all, or a comma list of ${names.join(', ')}`,
        )
        .default(['all']),
      PORT: integer(0, 65_535).default(3000),
      HOST: z.string().default('0.0.0.0'),
      MONGODB_URI: z
        .string()
        .regex(/^mongodb(\+srv)?:\/\//, 'must start with mongodb:// or mongodb+srv://')
        .optional(),
      MONGODB_DATABASE: z
        .string()
        .regex(/^[A-Za-z0-9_-]{1,40}$/, 'must be 1 to 40 of A-Z a-z 0-9 _ -')
        .default('trivet'),
      DATA_DIR: z.string().default('.data'),
      DEMO: flag.optional(),
      INTERNAL_SECRET: list
        .refine(
          (value) => value.length > 0 && value.every((secret) => Buffer.byteLength(secret) >= 32),
          'must have 32 bytes or more, as each of a comma list',
        )
        .transform((value) => value as [string, ...string[]])
        .optional(),
      REQUEST_TIMEOUT: wait.pipe(z.int().min(100, 'must be 100ms or more')).default(4_000),
      DRAIN_DELAY: wait.default(production ? 3_000 : 0),
      DRAIN_TIMEOUT: wait.default(10_000),
      CORS_ORIGINS: list
        .refine(
          (value) => value.every((origin) => URL.canParse(origin) && new URL(origin).origin === origin),
          'must be a comma list of origins such as https://shop.example',
        )
        .default([]),
      TRUSTED_PROXIES: list
        .refine(
          (value) => value.every(isAddressRange),
          'must be a comma list of addresses and CIDR ranges such as 10.0.0.0/8',
        )
        .default([]),
      LOG_LEVEL: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
          error: 'must be trace, debug, info, warn, error, fatal or silent',
        })
        .optional(),
      ...Object.fromEntries(names.map((name) => [urlVariable(name), httpUrl.optional()])),
    }),
  )

  const hosted = general.SERVICE?.includes('all')
    ? names
    : names.filter((name) => general.SERVICE?.includes(name))
  const urls: Record<string, string> = {}
  for (const name of names) {
    const url = (general as Record<string, unknown>)[urlVariable(name)]
    if (typeof url === 'string') urls[name] = url.replace(/\/+$/, '')
  }

  const settings: Record<string, unknown> = {}
  for (const module of modules) {
    if (!hosted.includes(module.name)) continue
    if (module.settings) settings[module.name] = read(module.settings({ production }))
    for (const need of Object.keys(module.needs)) {
      if (!hosted.includes(need) && urls[need] === undefined && env[urlVariable(need)] === undefined) {
        faults.push(`${module.name} needs ${need}: set ${urlVariable(need)} or host ${need} (SERVICE)`)
      }
    }
  }

  if (production) {
    if (general.MONGODB_URI === undefined && env.MONGODB_URI === undefined) {
      faults.push('MONGODB_URI is required when NODE_ENV=production: the embedded MongoDB is for development')
    }
    const remote = modules.some(
      (module) =>
        hosted.includes(module.name) && Object.keys(module.needs).some((need) => !hosted.includes(need)),
    )
    if (remote && env.INTERNAL_SECRET === undefined) {
      faults.push('INTERNAL_SECRET is required when NODE_ENV=production and a needed module is remote')
    }
    if (general.INTERNAL_SECRET?.includes(developmentInternalSecret)) {
      faults.push('INTERNAL_SECRET must not be the development value when NODE_ENV=production')
    }
    if (general.INTERNAL_SECRET?.some((secret) => placeholder.test(secret))) {
      faults.push(
        'INTERNAL_SECRET must not be a placeholder when NODE_ENV=production: `openssl rand -base64 32` makes one',
      )
    }
    if (general.DEMO) {
      faults.push(
        'DEMO must not be true when NODE_ENV=production: it opens an admin account and prints its password',
      )
    }
  }
  if (general.DRAIN_DELAY >= general.DRAIN_TIMEOUT) {
    faults.push('DRAIN_DELAY must be less than DRAIN_TIMEOUT, which includes it')
  }
  // A setting that several modules share is one fault.
  if (faults.length > 0) throw new ConfigError([...new Set(faults)])
  // Nobody has to call a process that hosts everything: a secret that everybody knows opens nothing there.
  const alone = hosted.length === names.length

  return {
    production,
    hosted,
    urls,
    port: general.PORT,
    host: general.HOST,
    mongodb: { uri: general.MONGODB_URI, database: general.MONGODB_DATABASE },
    dataDir: general.DATA_DIR,
    demo: general.DEMO ?? general.MONGODB_URI === undefined,
    internalSecrets:
      general.INTERNAL_SECRET ?? (production || alone ? undefined : [developmentInternalSecret]),
    requestTimeout: general.REQUEST_TIMEOUT,
    drain: { delay: general.DRAIN_DELAY, timeout: general.DRAIN_TIMEOUT },
    corsOrigins: general.CORS_ORIGINS,
    trustedProxies: general.TRUSTED_PROXIES,
    logLevel: general.LOG_LEVEL,
    issuer: 'trivet',
    settings,
  }
}

/** Where a remote module's URL is read from. */
export const urlVariable = (name: string): string => `${name.toUpperCase().replaceAll('-', '_')}_URL`
