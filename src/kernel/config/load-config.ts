import { z } from '@hono/zod-openapi'
import { validationMessage } from '#kernel/validation-messages.ts'
import { ConfigError } from './config-error.ts'
import { nonEmptyVariables, readSettingFile } from './environment.ts'
import { findMisnamedSettings, type MisnamedSetting } from './misnamed-settings.ts'
import {
  flag,
  httpUrl,
  integer,
  isAddressRange,
  list,
  listenAddress,
  origins,
  waitDuration,
} from './values.ts'

/** What the configuration has to know of a module. */
export interface ConfigurableModule {
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
  requestTimeoutMs: number
  drain: { delayMs: number; timeoutMs: number }
  corsOrigins: readonly string[]
  /** Whose `X-Forwarded-For` counts: addresses and CIDR ranges. */
  trustedProxies: readonly string[]
  /** Unless it is set, what a terminal shows is less than what a machine reads. */
  logLevel: string | undefined
  /** `iss` and `aud` of access tokens. */
  issuer: string
  /** What each hosted module's own `settings` made of the environment. */
  settings: Readonly<Record<string, unknown>>
  /** Variables that are no settings, and were probably meant to be. */
  misnamedSettings: readonly MisnamedSetting[]
}

const developmentInternalSecret = 'development-only-internal-secret'

// What stands in examples, for somebody to put a secret in its place.
const placeholder =
  /change.?(me|this|it)|replace.?(me|this|it|with)|(your|my).?(own.?)?(internal.?)?secret|placeholder/i

/** What is said of a variable that no program reads. */
export const misnamedSettingWarning = ({ variable, meant }: MisnamedSetting): string =>
  `${variable} is not a setting; ${meant} was probably meant`

/**
 * Any variable may be given as the path of a file that has its value, by `<VARIABLE>_FILE`: that is how Docker hands out
 * secrets. White space at the end of a value is not part of it, in a file as in the environment.
 * @param modules every module of the program: their names are what SERVICE may list, `<NAME>_URL` is where each
 * lives when it is remote, and the hosted ones' `settings` are read along.
 * @throws ConfigError
 */
export function loadConfig(environment: NodeJS.ProcessEnv, modules: readonly ConfigurableModule[]): Config {
  const env: Record<string, string | undefined> = nonEmptyVariables(environment)
  const names = modules.map((module) => module.name)
  const faults: string[] = []
  // Variables that have a fault already because they could not be read.
  const unread = new Set<string>()
  // MONGOD_BINARY is read by the embedded MongoDB, which production is without.
  const known = new Set(['MONGOD_BINARY'])
  const addKnown = ({ shape }: z.ZodObject) => {
    for (const variable of Object.keys(shape)) known.add(variable)
  }

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
      const value = readSettingFile(path)
      if (value !== '') env[variable] = value
    } catch (error) {
      unread.add(variable)
      faults.push(`${variable}_FILE ${(error as Error).message}`)
    }
  }

  const readVariable = (variable: string) => {
    readFile(variable)
    // What Node.js puts in place of bytes that it could not read.
    if (!env[variable]?.includes('\uFFFD')) return
    delete env[variable]
    unread.add(variable)
    faults.push(`${variable} must be text in UTF-8`)
  }

  const read = <Schema extends z.ZodObject>(schema: Schema): z.infer<Schema> => {
    addKnown(schema)
    for (const variable of Object.keys(schema.shape)) readVariable(variable)
    const result = schema.safeParse(env, { error: validationMessage })
    if (result.success) return result.data
    for (const issue of result.error.issues) {
      const variable = String(issue.path[0] ?? '')
      if (unread.has(variable)) continue
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

  const { NODE_ENV } = read(
    z.object({
      NODE_ENV: z
        .enum(['production', 'development', 'test'], {
          error: 'must be production, development or test; unset, it is development',
        })
        .optional(),
    }),
  )
  const production = NODE_ENV === 'production'

  const general = read(
    z.object({
      SERVICE: list
        .refine(
          (value) => value.length > 0 && value.every((name) => name === 'all' || names.includes(name)),
          `must be all, or a comma list of ${names.join(', ')}`,
        )
        .default(['all']),
      PORT: integer(0, 65_535).default(3000),
      HOST: listenAddress.default('0.0.0.0'),
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
      REQUEST_TIMEOUT: waitDuration.pipe(z.int().min(100, 'must be 100ms or more')).default(4_000),
      DRAIN_DELAY: waitDuration.default(production ? 3_000 : 0),
      DRAIN_TIMEOUT: waitDuration.default(10_000),
      CORS_ORIGINS: origins.default([]),
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
  const isMissing = (variable: string) => env[variable] === undefined && !unread.has(variable)

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
      if (!hosted.includes(need) && urls[need] === undefined && isMissing(urlVariable(need))) {
        faults.push(`${module.name} needs ${need}: set ${urlVariable(need)} or host ${need} (SERVICE)`)
      }
    }
  }

  if (production) {
    if (isMissing('MONGODB_URI')) {
      faults.push('MONGODB_URI is required when NODE_ENV=production: the embedded MongoDB is for development')
    }
    const remote = modules.some(
      (module) =>
        hosted.includes(module.name) && Object.keys(module.needs).some((need) => !hosted.includes(need)),
    )
    if (remote && isMissing('INTERNAL_SECRET')) {
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
  // A setting of a module that is not hosted here is a setting all the same.
  for (const module of modules) if (module.settings) addKnown(module.settings({ production }))
  const almost = findMisnamedSettings(nonEmptyVariables(environment), [...known])
  // A setting that several modules share is one fault.
  if (faults.length > 0) throw new ConfigError([...new Set(faults)], almost.map(misnamedSettingWarning))
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
    requestTimeoutMs: general.REQUEST_TIMEOUT,
    drain: { delayMs: general.DRAIN_DELAY, timeoutMs: general.DRAIN_TIMEOUT },
    corsOrigins: general.CORS_ORIGINS,
    trustedProxies: general.TRUSTED_PROXIES,
    logLevel: general.LOG_LEVEL,
    issuer: 'trivet',
    settings,
    misnamedSettings: almost,
  }
}

/** Where a remote module's URL is read from. */
export const urlVariable = (name: string): string => `${name.toUpperCase().replaceAll('-', '_')}_URL`
