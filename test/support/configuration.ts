import { ConfigError } from '#kernel/config/config-error.ts'
import { loadConfig } from '#kernel/config/load-config.ts'
import { generatePrivateKey } from '#src/modules/auth/sessions/signing-keys.ts'
import { registry } from '#src/registry.ts'

export type Environment = Record<string, string>

/** Reads the configuration of the whole program. */
export const load = (environment: Environment) => loadConfig(environment, registry)

/** Returns the error of a faulty configuration, or undefined if there is none. */
export function errorOf(environment: Environment, modules = registry): ConfigError | undefined {
  try {
    loadConfig(environment, modules)
    return undefined
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
}

export const faultsOf = (environment: Environment, modules = registry) =>
  errorOf(environment, modules)?.faults ?? []

export const internalSecret = 'thirty-two bytes that nobody knows'
export const privateKeys = JSON.stringify([generatePrivateKey()])
/** The settings that production requires. */
export const production = {
  NODE_ENV: 'production',
  MONGODB_URI: 'mongodb://db.example/?replicaSet=rs',
  JWT_PRIVATE_KEYS: privateKeys,
}
