// Writes docs/reference.png, the picture of the reference in docs/tour.md, from a running demo:
// node scripts/run.mjs scripts/screenshot.ts http://localhost:3000
import { fileURLToPath } from 'node:url'
import { launchChromium, openPage } from '../test/support/browser.ts'

const url = new URL(process.argv[2] ?? 'http://localhost:3000').origin
const browser = await launchChromium()
const { page } = await openPage(await browser.newContext({ baseURL: url }), url)
await page.setViewportSize({ width: 1280, height: 1260 })
await page.goto('/docs')
await page.getByRole('button', { name: 'Sign in with the demo account' }).click()
await page.getByText('Signed in as').waitFor()
for (const group of ['Accounts', 'Products']) await page.locator(`#operations-tag-${group}`).click()
const operation = page.locator('#operations-Orders-placeOrder')
await operation.locator('.opblock-summary-control').click()
await operation.locator('.responses-table').waitFor()
await page.mouse.move(0, 0)
await page.screenshot({ path: fileURLToPath(new URL('../docs/reference.png', import.meta.url)) })
await browser.close()
