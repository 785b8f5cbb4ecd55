import type { z } from '@hono/zod-openapi'
import { ConfigError } from './config-error.ts'
import { developmentInternalSecret, needFaults, productionFaults } from './cross-checks.ts'
import { nonEmptyVariables } from './environment.ts'
import { environmentSetting, generalSettings, urlVariable } from './general-settings.ts'
import { findMisnamedSettings, type MisnamedSetting, type OtherNames } from './misnamed-settings.ts'
import { createSettingsReader } from './settings-reader.ts'

/** The parts of a module that the configuration uses. */
export interface ConfigurableModule {
  name: string
  settings?(mode: { production: boolean }): z.ZodObject<z.ZodRawShape>
  misnamedSettings?: OtherNames
  needs: Readonly<Record<string, unknown>>
}

export interface Config {
  production: boolean
  /** The names of the modules that this process hosts. */
  hosted: readonly string[]
  /** The URLs of remote modules, by module name. */
  urls: Readonly<Record<string, string>>
  port: number
  /** The port of the probes and the metrics. Without it, they are on `port`. */
  managementPort: number | undefined
  host: string
  /** Without `uri`, the process uses the embedded MongoDB. */
  mongodb: { uri: string | undefined; database: string }
  dataDir: string
  demo: boolean
  /** The currency of every amount (ISO 4217). */
  currency: string
  /** The first secret signs calls between services, and all verify calls. Undefined if there is no `/internal`. */
  internalSecrets: readonly [string, ...string[]] | undefined
  requestTimeoutMs: number
  drain: { delayMs: number; timeoutMs: number }
  corsOrigins: readonly string[]
  /** The addresses and CIDR ranges of proxies that may set `X-Forwarded-For`. */
  trustedProxies: readonly string[]
  /** Undefined if it is not set: the default depends on whether the log goes to a terminal. */
  logLevel: string | undefined
  /** `iss` and `aud` of access tokens. */
  issuer: string
  /** The settings of each hosted module, as the module's schema returns them. */
  settings: Readonly<Record<string, unknown>>
  /** Variables that are not settings and have a name like one. */
  misnamedSettings: readonly MisnamedSetting[]
}

/** The warning about a variable that no program reads. */
export const misnamedSettingWarning = ({ variable, meant }: MisnamedSetting): string =>
  `${variable} is not a setting; ${meant} was probably meant`

/**
 * Reads the configuration. White space at the end of a value is not part of the value, in a file and in the environment.
 * @param modules every module of the program: SERVICE may list their names, `<NAME>_URL` is the URL of a remote module, and
 * the settings of hosted modules are read too
 * @throws ConfigError with every fault
 */
export function loadConfig(environment: NodeJS.ProcessEnv, modules: readonly ConfigurableModule[]): Config {
  const reader = createSettingsReader(environment)
  const { faults, isMissing } = reader
  const names = modules.map(({ name }) => name)
  const production = reader.read(environmentSetting).NODE_ENV === 'production'
  const general = reader.read(generalSettings(names, production))

  const hostedNames = general.SERVICE?.includes('all')
    ? names
    : names.filter((name) => general.SERVICE?.includes(name))
  const hostedModules = modules.filter(({ name }) => hostedNames.includes(name))
  const urls = remoteUrls(names, general)

  const settings: Record<string, unknown> = {}
  for (const module of hostedModules) {
    if (module.settings) settings[module.name] = reader.read(module.settings({ production }))
    faults.push(...needFaults(module, { hosted: hostedNames, urls, isMissing }))
  }
  if (production) {
    const needs = hostedModules.flatMap((module) => Object.keys(module.needs))
    const hasRemoteNeeds = needs.some((need) => !hostedNames.includes(need))
    faults.push(...productionFaults(general, { isMissing, hasRemoteNeeds }))
  }
  if (general.DRAIN_DELAY >= general.DRAIN_TIMEOUT) {
    faults.push('DRAIN_DELAY must be less than DRAIN_TIMEOUT, which includes it')
  }
  if (general.MANAGEMENT_PORT && general.MANAGEMENT_PORT === general.PORT) {
    faults.push('MANAGEMENT_PORT must differ from PORT')
  }
  // The settings of modules that this process does not host are known settings too.
  for (const module of modules) if (module.settings) reader.addKnown(module.settings({ production }))
  const misnamedSettings = findMisnamedSettings(
    nonEmptyVariables(environment),
    [...reader.known],
    otherNamesOf(modules),
  )
  // A fault of a setting that several modules share is listed once.
  if (faults.length > 0)
    throw new ConfigError([...new Set(faults)], misnamedSettings.map(misnamedSettingWarning))

  // A process that hosts every module accepts no calls of other services, so that it needs no development secret.
  const hostsAll = hostedNames.length === names.length
  return {
    production,
    hosted: hostedNames,
    urls,
    port: general.PORT,
    managementPort: general.MANAGEMENT_PORT,
    host: general.HOST,
    mongodb: { uri: general.MONGODB_URI, database: general.MONGODB_DATABASE },
    dataDir: general.DATA_DIR,
    demo: general.DEMO ?? general.MONGODB_URI === undefined,
    currency: general.CURRENCY,
    internalSecrets:
      general.INTERNAL_SECRET ?? (production || hostsAll ? undefined : [developmentInternalSecret]),
    requestTimeoutMs: general.REQUEST_TIMEOUT,
    drain: { delayMs: general.DRAIN_DELAY, timeoutMs: general.DRAIN_TIMEOUT },
    corsOrigins: general.CORS_ORIGINS,
    trustedProxies: general.TRUSTED_PROXIES,
    logLevel: general.LOG_LEVEL,
    issuer: 'trivet',
    settings,
    misnamedSettings,
  }
}

/** Other names of the modules' own settings and of the variables with their URLs. */
function otherNamesOf(modules: readonly ConfigurableModule[]): OtherNames {
  const urlNames = modules.map(({ name }): [string, string[]] => {
    const variable = urlVariable(name)
    return [variable, [variable.replace(/_URL$/, '_SERVICE_URL')]]
  })
  return Object.assign(Object.fromEntries(urlNames), ...modules.map((module) => module.misnamedSettings))
}

/** @returns the URLs of remote modules without a slash at the end, by module name */
function remoteUrls(
  names: readonly string[],
  general: Readonly<Record<string, unknown>>,
): Record<string, string> {
  const urls: Record<string, string> = {}
  for (const name of names) {
    const url = general[urlVariable(name)]
    if (typeof url === 'string') urls[name] = url.replace(/\/+$/, '')
  }
  return urls
}
