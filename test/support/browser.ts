import { type Browser, chromium, type Page } from 'playwright-core'
import { chromiumMissing, findChromium } from './chromium.ts'

/** Starts Chromium. Its sandbox does not work for root, and containers run as root. */
export async function launchChromium(): Promise<Browser> {
  const executablePath = findChromium()
  if (executablePath === undefined) throw new Error(chromiumMissing)
  return chromium.launch({ executablePath, chromiumSandbox: process.getuid?.() !== 0 })
}

export interface WatchedPage {
  page: Page
  /** The errors on the console, violations of the content security policy, and requests to other origins so far. */
  faults: string[]
}

/** Opens an empty page with a storage of its own. A request to another origin than `url` fails, as it would without a network. */
export async function openPage(browser: Browser, url: string): Promise<WatchedPage> {
  const context = await browser.newContext({ baseURL: url })
  context.setDefaultTimeout(20_000)
  const faults: string[] = []
  await context.route(
    (target) => target.origin !== url,
    (route) => {
      faults.push(`request to ${route.request().url()}`)
      return route.abort()
    },
  )
  const page = await context.newPage()
  page.on('console', (message) => {
    // Chromium reports violations of the policy as errors, too.
    if (['error', 'warning'].includes(message.type())) faults.push(message.text())
  })
  page.on('pageerror', (error) => faults.push(String(error)))
  return { page, faults }
}
