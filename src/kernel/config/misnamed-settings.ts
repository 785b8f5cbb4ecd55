import { isWithinOneEdit } from './edit-distance.ts'

/** A variable that is not a setting, and the setting that the operator probably meant. */
export interface MisnamedSetting {
  variable: string
  meant: string
}

/** Names that other programs use for a setting, by setting. */
export type OtherNames = Readonly<Record<string, readonly string[]>>

/**
 * Other names of the settings that do not belong to one module. This program ignores unknown variables: with `MONGO_URL`, for example,
 * it would report no error and use the default database. Typing errors are found by comparison. A doubtful name causes no
 * warning, because an environment has many variables of other programs.
 */
const generalOtherNames: OtherNames = {
  CORS_ORIGINS: ['ALLOWED_ORIGINS', 'CORS_ALLOWED_ORIGINS', 'CORS_ALLOW_ORIGINS'],
  CURRENCY: ['CURRENCY_CODE', 'DEFAULT_CURRENCY', 'BASE_CURRENCY', 'STORE_CURRENCY', 'SHOP_CURRENCY'],
  DATA_DIR: ['DATA_DIRECTORY'],
  DEMO: ['DEMO_MODE', 'DEMO_DATA'],
  DRAIN_TIMEOUT: ['SHUTDOWN_TIMEOUT', 'GRACEFUL_SHUTDOWN_TIMEOUT'],
  HOST: ['BIND_ADDRESS', 'BIND_HOST', 'LISTEN_ADDRESS', 'LISTEN_HOST', 'SERVER_HOST'],
  INTERNAL_SECRET: ['SERVICE_SECRET', 'INTERNAL_TOKEN', 'INTERNAL_API_KEY'],
  LOG_LEVEL: ['LOGGING_LEVEL', 'PINO_LOG_LEVEL'],
  MONGODB_DATABASE: [
    'MONGODB_DB',
    'MONGODB_NAME',
    'MONGO_DB',
    'MONGO_DATABASE',
    'MONGO_DB_NAME',
    'MONGODB_DB_NAME',
  ],
  MONGODB_URI: [
    ...['MONGO_URL', 'MONGO_URI', 'MONGODB_URL', 'MONGOURL', 'MONGOURI', 'MONGOOSE_URI', 'MONGOOSE_URL'],
    ...[
      'MONGODB_CONNECTION_STRING',
      'MONGO_CONNECTION_STRING',
      'MONGODB_CONNECTION_URI',
      'MONGODB_HOST',
      'MONGO_HOST',
    ],
  ],
  NODE_ENV: ['NODE_ENVIRONMENT'],
  PORT: ['PORTS', 'LISTEN_PORT', 'SERVER_PORT'],
  TRUSTED_PROXIES: ['TRUST_PROXY', 'TRUST_PROXIES'],
}

// Other programs use these names for databases of any kind.
const namesForAnyDatabase = ['DATABASE_URL', 'DATABASE_URI', 'DB_URL', 'DB_URI', 'DB_CONNECTION_STRING']

/**
 * Finds variables whose name resembles the name of a setting.
 * @param environment contains no empty variables
 * @param settings the names of all settings, and also those of modules that this process does not host
 * @param moduleNames other names of the settings of modules
 */
export function findMisnamedSettings(
  environment: Readonly<Record<string, string>>,
  settings: readonly string[],
  moduleNames: OtherNames,
): MisnamedSetting[] {
  const names = { ...generalOtherNames, ...moduleNames }
  const known = settings.flatMap((setting) => [setting, `${setting}_FILE`])
  const meaningOf = (variable: string): string | undefined => {
    const value = environment[variable] ?? ''
    // Kubernetes gives every container such a variable per service: for a service `trivet`, TRIVET_PORT is its port's URL.
    if (known.includes(variable) || /^(?:tcp|udp|sctp):\/\//.test(value)) return undefined
    const name = variable.toUpperCase().replace(/[^A-Z0-9]+/g, '_')
    const isFile = name.endsWith('_FILE')
    const setting = findSetting(isFile ? name.slice(0, -'_FILE'.length) : name, settings, names, value)
    if (setting !== undefined) return isFile ? `${setting}_FILE` : setting
    return known.find((candidate) => isMistyped(name, candidate))
  }
  return Object.keys(environment).flatMap((variable) => {
    const meant = meaningOf(variable)
    return meant === undefined ? [] : [{ variable, meant }]
  })
}

function findSetting(
  name: string,
  settings: readonly string[],
  otherNames: OtherNames,
  value: string,
): string | undefined {
  if (namesForAnyDatabase.includes(name) && value.startsWith('mongodb')) return 'MONGODB_URI'
  const withoutExtras = name.replace(/^TRIVET_/, '').replace(/_(?:MS|SEC|SECS|SECONDS)$/, '')
  const [other] = Object.entries(otherNames).find(([, others]) => others.includes(withoutExtras)) ?? []
  if (other !== undefined) return other
  return settings.find((setting) => withoutExtras === setting)
}

const withoutUnderscores = (name: string): string => name.replaceAll('_', '')
const sortedWords = (name: string): string => name.split('_').sort().join('_')

// Short names differ by one letter from too many other names, such as HOST from POST.
const minComparedLength = 7
const minLengthForOtherFirstLetter = 9

function isMistyped(name: string, setting: string): boolean {
  if (name === setting) return true
  const [joined, right] = [withoutUnderscores(name), withoutUnderscores(setting)]
  // The length is compared without _FILE, because HISTFILE differs from HOST_FILE by one letter.
  if (withoutUnderscores(setting.replace(/_FILE$/, '')).length < minComparedLength) return false
  if (right.length < minLengthForOtherFirstLetter && name[0] !== setting[0]) return false
  if (isWithinOneEdit(joined, right) || sortedWords(name) === sortedWords(setting)) return true
  const [words, rightWords] = [name.split('_'), setting.split('_')]
  // Each long word may have one typing error.
  return (
    words.length === rightWords.length &&
    words.every((word, at) => {
      const rightWord = rightWords[at] ?? ''
      return word === rightWord || (rightWord.length > 4 && isWithinOneEdit(word, rightWord))
    })
  )
}
