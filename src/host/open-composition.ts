import type { Config } from '#kernel/config/load-config.ts'
import { type Composition, compose } from './compose.ts'
import { type OpenMongodb, openMongodb } from './database.ts'

/**
 * Opens the MongoDB of the settings, and composes the hosted modules with it.
 * @param log prints a line for the operator, such as the progress of a download
 */
export async function openComposition(
  options: Omit<Parameters<typeof compose>[0], 'config'> & { config: Config },
  log: (line: string) => void,
): Promise<Composition & { mongodb: OpenMongodb }> {
  const { config } = options
  const mongodb = await openMongodb(config, log)
  const composition = await compose({
    ...options,
    config: { ...config, mongodb: { ...config.mongodb, uri: mongodb.uri } },
  })
  return {
    ...composition,
    mongodb,
    async close() {
      await composition.close()
      await mongodb.close()
    },
  }
}
