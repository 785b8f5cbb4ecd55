import type { BannerFact } from '#kernel/module.ts'
import { textTable } from './text-table.ts'

/** For a terminal without LOG_LEVEL. */
export const briefLogFact: BannerFact = ['Log', 'warnings and errors; LOG_LEVEL=info shows each request']

/** For a terminal without LOG_LEVEL, whose log does not mention the shutdown. */
export const stoppingMessage = '\nTrivet is stopping. Press Ctrl-C again to end it at once.'

/** What the operator wants to know first. */
export function banner(shape: string, url: string, facts: readonly BannerFact[]): string {
  const lines = textTable([['API', url], ['Reference', `${url}/docs`], ...facts])
  return ['', `Trivet is ready (${shape})`, ...lines.map((line) => `  ${line}`), ''].join('\n')
}
