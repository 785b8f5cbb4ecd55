import type { Config } from './kernel/config.ts'

/** The MongoDB of the settings or, in development, the embedded one of the data directory. */
export async function openMongodb(
  config: Config,
  log: (line: string) => void,
): Promise<{ uri: string; close(): Promise<void> }> {
  const { uri } = config.mongodb
  if (uri !== undefined) return { uri, close: async () => {} }
  // Only on demand: production never gets here, and has not got its packages.
  const { openEmbeddedMongo } = await import('./embedded/mongod.ts')
  return openEmbeddedMongo({ dataDir: config.dataDir, log })
}
