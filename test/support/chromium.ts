import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Says what to do about browser tests that cannot run. */
export const chromiumMissing =
  'The browser tests need Chromium. Install it (on Debian: apt-get install chromium), or set CHROMIUM to the path of Chromium or Chrome.'

/** Finds the browser of the browser tests: the setting CHROMIUM, or a Chromium or Chrome on PATH. */
export function findChromium(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const { CHROMIUM, PATH = '' } = environment
  if (CHROMIUM) return CHROMIUM
  return ['chromium', 'chromium-browser', 'google-chrome']
    .flatMap((name) => PATH.split(delimiter).map((folder) => join(folder, name)))
    .find((path) => existsSync(path))
}

/** Whether the browser tests run. In CI a missing browser must not hide a failure, so they run there in any case. */
export const hasBrowserTests = (environment: NodeJS.ProcessEnv = process.env): boolean =>
  Boolean(environment.CI) || findChromium(environment) !== undefined
