import type { Config } from './kernel/config.ts'

export interface OpenMongodb {
  uri: string
  /** Resolves with what to tell the user once the embedded one has ended for good; never for another one. */
  lost: Promise<string>
  close(): Promise<void>
}

/** The MongoDB of the settings or, in development, the embedded one of the data directory. */
export async function openMongodb(config: Config, log: (line: string) => void): Promise<OpenMongodb> {
  const { uri } = config.mongodb
  if (uri !== undefined) return { uri, lost: new Promise(() => {}), close: async () => {} }
  // Only on demand: production never gets here, and has not got its packages.
  const { openEmbeddedMongo } = await import('./embedded/mongod.ts')
  return openEmbeddedMongo({ dataDir: config.dataDir, log })
}
