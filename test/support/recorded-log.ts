import { Writable } from 'node:stream'
import { createLogger, type Logger } from '#kernel/logger.ts'
import type { Json } from './client.ts'

/** Creates a logger, and the list of the lines that it has written so far. */
export async function recordLog(level = 'info'): Promise<{ logger: Logger; lines: Json[] }> {
  const lines: Json[] = []
  const output = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(chunk))
      done()
    },
  })
  return { logger: await createLogger({ level, human: false, service: 'test', output }), lines }
}
