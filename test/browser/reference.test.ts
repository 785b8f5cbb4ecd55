import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { launchChromium, openPage, type WatchedPage } from '#test/support/browser.ts'
import { type Operation, operationsOf } from '#test/support/openapi-operations.ts'
import { type Deployment, deploy } from '#test/support/processes.ts'

let shop: Deployment
let browser: Browser
let context: BrowserContext
let operations: Operation[]
/** The reference in the page that most tests share, because a load takes a second or more. */
let shared: WatchedPage | undefined
beforeAll(async () => {
  ;[shop, browser] = await Promise.all([deploy('one process', { DEMO: 'true' }), launchChromium()])
  context = await browser.newContext({ baseURL: shop.url })
  operations = operationsOf((await shop.get('/openapi.json')).body)
})
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') shared = undefined
  // A page that stays open uses processor time, so that it would slow down the tests after it.
  await Promise.all(context.pages().map((page) => page !== shared?.page && page.close()))
})
afterAll(async () => {
  await browser.close()
  await shop.stop()
})

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** The faults of accessibility that axe finds on a page, each with the first element that has it. */
async function accessibilityFaults(page: Page): Promise<string[]> {
  await page.evaluate(axe)
  return page.evaluate(
    `axe.run({ preload: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice'] }).then(({ violations }) =>
      violations.map(({ id, nodes }) => id + ': ' + nodes.length + ' × ' + nodes[0].html.slice(0, 200)))`,
  )
}

/** The number of pixels by which the content is wider than the window. */
const overflow = (page: Page): Promise<number> =>
  page.evaluate('document.documentElement.scrollWidth - window.innerWidth')

const storageKey = 'trivet-session'

interface Session {
  accessToken: string
  refreshToken: string
  expiresAt: number
}

/** Opens the reference in a page of its own. */
async function openReference(): Promise<WatchedPage> {
  const opened = await openPage(context, shop.url)
  await opened.page.goto('/docs')
  await opened.page.locator('.opblock').first().waitFor()
  expect(opened.faults).toEqual([])
  return opened
}

/** Returns the shared page as it is after its load: no answer is shown, no operation and no dialog is open, and no account is signed in. */
async function sharedReference(): Promise<WatchedPage> {
  shared ??= await openReference()
  const { page, faults } = shared
  await page.evaluate(`
    document.querySelectorAll('.btn-clear').forEach((button) => button.click())
    document.querySelectorAll('.opblock.is-open .opblock-summary-control').forEach((control) => control.click())
    document.getElementById('sign-in-dialog').close()
    document.getElementById('sign-in-form').reset()
    document.querySelector('#sign-out:not([hidden])')?.click()`)
  await demoButton(page).waitFor()
  await expect.poll(() => page.locator('.opblock.is-open').count()).toBe(0)
  faults.length = 0
  return shared
}

const demoButton = (page: Page) => page.getByRole('button', { name: 'Sign in with the demo account' })

async function signInAsDemo(page: Page): Promise<void> {
  await demoButton(page).click()
  await page.getByText('Signed in as demo (customer)').waitFor()
}

const readSession = (page: Page): Promise<Session | null> =>
  page.evaluate((key) => JSON.parse(sessionStorage.getItem(key) ?? 'null'), storageKey)

/** Signs in, and changes the stored session. @returns the session before the change */
async function signInWith(page: Page, changes: Partial<Session>): Promise<Session> {
  await signInAsDemo(page)
  const session = (await readSession(page)) as Session
  const stored = [storageKey, JSON.stringify({ ...session, ...changes })]
  await page.evaluate(`sessionStorage.setItem(...${JSON.stringify(stored)})`)
  return session
}

const operation = (page: Page, id: string) => page.locator(`.opblock[id$="-${id}"]`)

/** Sends a request as the page has filled it in, and returns the status of the answer. */
async function execute(page: Page, id: string): Promise<number> {
  const block = operation(page, id)
  await block.locator('.opblock-summary-control').click()
  await block.getByRole('button', { name: 'Execute' }).click()
  return Number(await block.locator('.live-responses-table tbody .response-col_status').first().innerText())
}

it('the reference lists every operation of the document, and says which ones need a sign-in or an admin', async () => {
  const { page, faults } = await sharedReference()
  const need = ([scheme]: object[]) => scheme && ((Object.values(scheme).flat()[0] as string) ?? 'sign-in')
  const documented = operations.map(({ operationId, method, path, security, summary }) =>
    [operationId, method, path, summary, need(security)].join(' '),
  )
  const shown: string[] = await page.evaluate(`[...document.querySelectorAll('.opblock')].map((block) => {
    const text = (part) => block.querySelector(part)?.textContent
    return [block.id.split('-').at(-1), text('.opblock-summary-method'), block.querySelector('[data-path]').dataset.path,
      text('.opblock-summary-description'), text('.needs-sign-in')].join(' ')
  })`)
  expect(shown.sort()).toEqual(documented.sort())
  expect(faults).toEqual([])
})

it('an open operation shows its parameters, its example and its answers', async () => {
  const { page, faults } = await sharedReference()
  for (const id of ['changePassword', 'updateProduct', 'listOrders', 'getProblem']) {
    const {
      parameters = [],
      requestBody,
      responses,
    } = operations.find(({ operationId }) => operationId === id) as Operation
    const block = operation(page, id)
    await block.locator('.opblock-summary-control').click()
    await block.locator('.responses-table').waitFor()
    const shown = await block
      .locator('[data-param-name]')
      .evaluateAll((rows) => rows.map((row) => row.getAttribute('data-param-name')))
    expect(shown.sort(), id).toEqual(parameters.map(({ name }) => name).sort())
    const example = requestBody?.content['application/json'].example
    if (example) expect(JSON.parse(await block.locator('textarea').inputValue()), id).toEqual(example)
    const statuses = await block.locator('tr.response > .response-col_status').allInnerTexts()
    expect(statuses, id).toEqual(Object.keys(responses))
    // Swagger UI draws all open operations again whenever one opens.
    await block.locator('.opblock-summary-control').click()
  }
  expect(faults).toEqual([])
})

it('a reader signs in with one button, buys a product as the page suggests, and is still signed in after a reload', async () => {
  const { page, faults } = await sharedReference()
  await signInAsDemo(page)
  expect(await execute(page, 'placeOrder')).toBe(201)
  await page.reload()
  await page.getByText('Signed in as demo (customer)').waitFor()
  expect(await execute(page, 'listOrders')).toBe(200)
  await page.getByRole('button', { name: 'Sign out', exact: true }).click()
  await demoButton(page).waitFor()
  expect(await readSession(page)).toBeNull()
  expect(faults).toEqual([])
})

const focused = (page: Page): Promise<string> =>
  page.evaluate('document.activeElement.name || document.activeElement.textContent')

const press = async (page: Page, ...keys: string[]) => {
  for (const key of keys) await page.keyboard.press(key)
}

it('a reader signs in with a name and a password by keyboard, and out again', async () => {
  const { page, faults } = await sharedReference()
  const { username, password } = await shop.customer()
  await page.getByRole('link', { name: 'Trivet' }).focus()
  await press(page, 'Tab', 'Tab', 'Tab', 'Tab', 'Tab', 'Enter')
  await page.keyboard.type(username)
  await press(page, 'Tab')
  await page.keyboard.type(password)
  await press(page, 'Enter')
  await page.getByText(`Signed in as ${username} (customer)`).waitFor()
  await expect.poll(() => focused(page)).toBe('Sign out')
  await press(page, 'Enter')
  await expect.poll(() => focused(page)).toBe('Sign in with the demo account')
  expect(faults).toEqual([])
})

it('Escape closes the dialog of the sign-in and returns to its button', async () => {
  const { page } = await sharedReference()
  const button = page.getByRole('button', { name: 'Sign in', exact: true })
  await button.focus()
  await press(page, 'Enter')
  const dialog = page.getByRole('dialog', { name: 'Sign in' })
  await dialog.waitFor()
  const order: string[] = []
  for (let at = 0; at < 4; at += 1) {
    order.push(await focused(page))
    await press(page, 'Tab')
  }
  expect(order).toEqual(['name', 'password', 'Cancel', 'Sign in'])
  await press(page, 'Escape')
  await dialog.waitFor({ state: 'hidden' })
  expect(await focused(page)).toBe('Sign in')
})

it('the dialog says why a sign-in was refused', async () => {
  const { page } = await sharedReference()
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.getByLabel('Username or e-mail address').fill('demo')
  await page.getByLabel('Password', { exact: true }).fill('not the password')
  await press(page, 'Enter')
  await page.getByRole('alert').getByText('there is no account with this name and password').waitFor()
})

it('nothing moves for a reader who prefers reduced motion', async () => {
  const { page } = await sharedReference()
  await page.emulateMedia({ reducedMotion: 'reduce' })
  const moving: number = await page.evaluate(`[...document.querySelectorAll('*')].filter((element) => {
    const { transitionDuration, animationName } = getComputedStyle(element)
    return transitionDuration !== '0s' || animationName !== 'none'
  }).length`)
  expect(moving).toBe(0)
  await page.emulateMedia({ reducedMotion: null })
})

it('a sign-in that the reader tries as an operation signs the page in', async () => {
  const { page, faults } = await sharedReference()
  expect(await execute(page, 'signIn')).toBe(200)
  await page.getByText('Signed in as demo (customer)').waitFor()
  expect(faults).toEqual([])
})

it('the reader gets a new customer if the demo account has another password', async () => {
  const { page } = await sharedReference()
  await page.route('**/login', async (route) => {
    const { username } = route.request().postDataJSON()
    if (username?.startsWith('demo-')) return route.continue()
    return route.fulfill({ status: 401, json: { code: 'invalid_credentials' } })
  })
  await demoButton(page).click()
  await page.getByText(/^Signed in as demo-\w{8} \(customer\)$/).waitFor()
  await page.unroute('**/login')
})

it('the button of the demo account is absent where there is no demo', async () => {
  const { page } = await openPage(context, shop.url)
  await page.route('**/docs', async (route) => {
    const answer = await route.fetch()
    const body = (await answer.text()).replace('data-demo="true"', 'data-demo="false"')
    await route.fulfill({ response: answer, body })
  })
  await page.goto('/docs')
  await page.getByRole('button', { name: 'Sign in', exact: true }).waitFor()
  expect(await demoButton(page).count()).toBe(0)
})

it('an access token that has expired is replaced before the next request', async () => {
  const { page, faults } = await sharedReference()
  const { refreshToken } = await signInWith(page, { accessToken: 'expired', expiresAt: 0 })
  expect(await execute(page, 'getProfile')).toBe(200)
  expect((await readSession(page))?.refreshToken).not.toBe(refreshToken)
  expect(faults).toEqual([])
})

it('an access token that the API refuses is replaced before the request after it', async () => {
  const { page } = await sharedReference()
  await signInWith(page, { accessToken: 'refused' })
  expect(await execute(page, 'getProfile')).toBe(401)
  expect(await execute(page, 'listOrders')).toBe(200)
})

it('a sign-in that cannot be refreshed ends, and the page says so', async () => {
  const { page } = await sharedReference()
  await signInWith(page, { refreshToken: 'revoked', expiresAt: 0 })
  expect(await execute(page, 'getProfile')).toBe(401)
  await page.getByText('Your sign-in has ended. Sign in again.').waitFor()
  await demoButton(page).waitFor()
  expect(await readSession(page)).toBeNull()
})

const backgrounds = { light: 'rgb(255, 255, 255)', dark: 'rgb(20, 24, 29)' }

/** Expects a page to suit wide and narrow windows in both colour schemes. */
async function expectAccessible(page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe(
      backgrounds[colorScheme],
    )
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 844 })
      expect(await overflow(page), `${colorScheme} ${width}`).toBe(0)
      // The search takes a second or more. The colours do not depend on the width, and the layout does not depend on the colours.
      if ((colorScheme === 'light') !== (width === 1280)) continue
      expect(await accessibilityFaults(page), `${colorScheme} ${width}`).toEqual([])
    }
  }
}

it('the reference is accessible, and fits a width of 390 px, in both colour schemes', async () => {
  const { page, faults } = await openReference()
  await signInAsDemo(page)
  expect(await execute(page, 'placeOrder')).toBe(201)
  await operation(page, 'placeOrder').locator('.folded button').first().click()
  await expectAccessible(page)
  expect(faults).toEqual([])
})

it('the other pages are accessible, and fit a width of 390 px, in both colour schemes', async () => {
  const { page, faults } = await openPage(context, shop.url)
  for (const path of ['/', '/problems', '/problems/insufficient_stock']) {
    await page.goto(path)
    expect(await page.getByRole('heading', { level: 1 }).count()).toBe(1)
    await expectAccessible(page)
  }
  expect(faults).toEqual([])
})
