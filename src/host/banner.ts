import type { BannerFact } from '#kernel/module.ts'
import { textTable } from './text-table.ts'

/** Shown on a terminal if LOG_LEVEL is not set. */
export const briefLogFact: BannerFact = ['Log', 'warnings and errors; LOG_LEVEL=info shows each request']

/** Printed on a terminal if LOG_LEVEL is not set, because the log then does not mention the shutdown. */
export const stoppingMessage = '\nTrivet is stopping. Press Ctrl-C again to end it at once.'

/** The lines that the operator sees when the process is ready. */
export function banner(shape: string, url: string, facts: readonly BannerFact[]): string {
  const lines = textTable([['API', url], ['Reference', `${url}/docs`], ...facts])
  return ['', `Trivet is ready (${shape})`, ...lines.map((line) => `  ${line}`), ''].join('\n')
}
