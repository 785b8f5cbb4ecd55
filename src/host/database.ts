import { existsSync } from 'node:fs'
import { isAbsolute, relative } from 'node:path'
import { ConfigError, StartFailure } from '#kernel/config/config-error.ts'
import { dataDirError, withDataDir } from '#kernel/config/data-dir.ts'
import type { Config } from '#kernel/config/load-config.ts'

export interface OpenMongodb {
  uri: string
  /** The location of MongoDB, for the operator, without credentials. */
  description: string
  /** Resolves with a message for the operator once the embedded MongoDB has ended and cannot be started again. */
  lost: Promise<string>
  close(): Promise<void>
}

/**
 * Opens the MongoDB of the settings or, if they name none, the embedded MongoDB of the data directory.
 * @throws StartFailure if the embedded MongoDB cannot be started
 */
export async function openMongodb(config: Config, log: (line: string) => void): Promise<OpenMongodb> {
  const { dataDir } = config
  const { uri } = config.mongodb
  if (uri !== undefined)
    return { uri, description: hostsOf(uri), lost: new Promise(() => {}), close: async () => {} }
  if (!existsSync(new URL('../embedded/mongod.ts', import.meta.url)))
    throw new ConfigError(['MONGODB_URI is required: this installation has no embedded MongoDB'])
  // Imported on demand, because production has neither these files nor their packages.
  const { openEmbeddedMongo, MongodFailure } = await import('../embedded/mongod.ts')
  const asStartFailure = (error: unknown): unknown => {
    if (!(error instanceof MongodFailure)) return error
    return error.isOfDataDir ? dataDirError(dataDir, error.message) : new StartFailure(error.message)
  }
  try {
    const embedded = await withDataDir(dataDir, () => openEmbeddedMongo({ dataDir, log }))
    const owner = embedded.owned ? '' : ` (of process ${embedded.owner})`
    return {
      uri: embedded.uri,
      description: `embedded, in ${shortPath(dataDir)}${owner}`,
      lost: embedded.lost,
      close: embedded.close,
    }
  } catch (error) {
    throw asStartFailure(error)
  }
}

/** @returns the part of a URI between the credentials and the options */
function hostsOf(uri: string): string {
  const [authority = ''] = uri.replace(/^mongodb(\+srv)?:\/\//, '').split(/[/?]/)
  return authority.slice(authority.lastIndexOf('@') + 1).replaceAll(',', ', ')
}

function shortPath(path: string): string {
  const below = relative(process.cwd(), path)
  return below === '' || below.startsWith('..') || isAbsolute(below) ? path : below
}
