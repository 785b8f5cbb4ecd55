import type { Config } from '#kernel/config/load-config.ts'
import type { Logger } from '#kernel/logger.ts'
import type { Metrics } from '#kernel/metrics.ts'
import type { AnyModule } from '#kernel/module.ts'
import { type Composition, compose } from './compose.ts'
import { type OpenMongodb, openMongodb } from './database.ts'

/**
 * Opens the MongoDB of the settings, and composes the hosted modules with it.
 * @param log prints a line for the operator, such as the progress of a download
 */
export async function openComposition(
  modules: readonly AnyModule[],
  config: Config,
  logger: Logger,
  metrics: Metrics,
  log: (line: string) => void,
): Promise<Composition & { mongodb: OpenMongodb }> {
  const mongodb = await openMongodb(config, log)
  const composition = await compose({
    config: { ...config, mongodb: { ...config.mongodb, uri: mongodb.uri } },
    modules,
    logger,
    metrics,
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
