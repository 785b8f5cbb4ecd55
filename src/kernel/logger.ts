import { pino } from 'pino'

export type Logger = import('pino').Logger

/** JSON lines on standard output; a person at a terminal gets them coloured, where pino-pretty is installed. */
export async function createLogger(options: { level: string; human: boolean }): Promise<Logger> {
  if (!options.human) return pino({ level: options.level, base: null })
  const { default: pretty } = await import('pino-pretty')
  return pino(
    { level: options.level, base: null },
    pretty({ sync: true, translateTime: 'HH:MM:ss.l', hideObject: false, singleLine: true }),
  )
}
