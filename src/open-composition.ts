import { type Composition, compose } from './compose.ts'
import type { Config } from './kernel/config.ts'
import type { Logger } from './kernel/logger.ts'
import { openMongodb } from './mongodb.ts'
import { registry } from './registry.ts'

/**
 * The hosted modules on the MongoDB of the settings, for whatever a process wants with them.
 * @returns also a line that says which MongoDB that is
 */
export async function openComposition(
  config: Config,
  logger: Logger,
  log: (line: string) => void,
): Promise<Composition & { mongodb: string }> {
  const mongodb = await openMongodb(config, log)
  const composition = await compose({
    config: { ...config, mongodb: { ...config.mongodb, uri: mongodb.uri } },
    modules: registry,
    logger,
  })
  /** Of what fails because the embedded MongoDB has ended, that is the cause to name. */
  const namingItsEnd =
    <Result>(work: (signal: AbortSignal) => Promise<Result>) =>
    (signal: AbortSignal): Promise<Result> =>
      work(signal).catch(async (error: unknown) => {
        throw (await mongodb.failure()) ?? error
      })
  return {
    ...composition,
    mongodb: mongodb.description,
    connect: namingItsEnd(composition.connect),
    migrate: namingItsEnd(composition.migrate),
    prepare: namingItsEnd(composition.prepare),
    async close() {
      await composition.close()
      await mongodb.close()
    },
  }
}
