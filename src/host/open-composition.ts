import type { Config } from '#kernel/config/load-config.ts'
import type { Logger } from '#kernel/logger.ts'
import { registry } from '../registry.ts'
import { type Composition, compose } from './compose.ts'
import { type OpenMongodb, openMongodb } from './database.ts'

/**
 * The hosted modules on the MongoDB of the settings, for whatever a process wants with them.
 * @returns also a line that says which MongoDB that is
 */
export async function openComposition(
  config: Config,
  logger: Logger,
  log: (line: string) => void,
): Promise<Composition & Pick<OpenMongodb, 'lost'> & { mongodb: string }> {
  const mongodb = await openMongodb(config, log)
  const composition = await compose({
    config: { ...config, mongodb: { ...config.mongodb, uri: mongodb.uri } },
    modules: registry,
    logger,
  })
  return {
    ...composition,
    mongodb: mongodb.description,
    lost: mongodb.lost,
    async close() {
      await composition.close()
      await mongodb.close()
    },
  }
}
