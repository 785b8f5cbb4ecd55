import { Writable } from 'node:stream'
import { createCall } from '#kernel/call.ts'
import type { CommandResult } from '#kernel/command.ts'
import { createLogger } from '#kernel/logger.ts'
import { startComposition } from './shop.ts'

export interface Operator {
  /**
   * Carries out a command of `npm run admin`.
   * @param secret what the operator types at the prompt
   */
  run(name: string, args: readonly string[], secret?: () => string | Promise<string>): Promise<CommandResult>
  /** The security events that the commands have logged so far. */
  events: Record<string, unknown>[]
  close(): Promise<void>
}

/** Carries out commands of `npm run admin` in this process, on the databases of a shop. */
export async function startOperator(database: string): Promise<Operator> {
  const events: Record<string, unknown>[] = []
  const output = new Writable({
    write(line, _encoding, done) {
      const entry = JSON.parse(String(line))
      if (entry.event !== undefined) events.push(entry)
      done()
    },
  })
  const logger = await createLogger({ level: 'info', human: false, service: 'test', output })
  const environment = { MONGODB_DATABASE: database }
  const { composition, close } = await startComposition({ environment, logger })
  await composition.connect(AbortSignal.timeout(10_000))
  return {
    run: (name, args, secret = () => '') =>
      composition.runCommand(name, {
        args,
        readSecret: async () => secret(),
        createCall: () => createCall(20_000, 'test'),
      }),
    events,
    close,
  }
}
