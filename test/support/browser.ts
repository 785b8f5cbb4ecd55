import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { chromiumMissing, findChromium } from './chromium.ts'

/**
 * Starts Chromium without a network: it finds only this machine. Its sandbox does not work for root, and containers run as root.
 */
export async function launchChromium(): Promise<Browser> {
  const executablePath = findChromium()
  if (executablePath === undefined) throw new Error(chromiumMissing)
  return chromium.launch({
    executablePath,
    chromiumSandbox: process.getuid?.() !== 0,
    args: ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'],
  })
}

export interface WatchedPage {
  page: Page
  /** The errors on the console, violations of the content security policy, and requests to other origins so far. */
  faults: string[]
}

/** Opens an empty page. The pages of a context share its cache, and each has a sessionStorage of its own. */
export async function openPage(context: BrowserContext, url: string): Promise<WatchedPage> {
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  const faults: string[] = []
  // Routes that abort such requests would turn off the cache.
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== url) faults.push(`request to ${request.url()}`)
  })
  page.on('console', (message) => {
    // Chromium reports violations of the policy as errors, too.
    if (['error', 'warning'].includes(message.type())) faults.push(message.text())
  })
  page.on('pageerror', (error) => faults.push(String(error)))
  return { page, faults }
}
