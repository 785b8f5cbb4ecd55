import { demoSignIn } from './demo-sign-in.js'
import { createSession } from './session.js'
import { plugins } from './swagger-plugins.js'

const securityScheme = 'accessToken'

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id)
const signInButton = byId('sign-in')
const demoButton = byId('sign-in-demo')
const signOutButton = byId('sign-out')
const dialog = byId('sign-in-dialog')
const form = byId('sign-in-form')

// Swagger UI has a dark theme, but selects it by a class and not by the preference of the reader.
const prefersDark = matchMedia('(prefers-color-scheme: dark)')
const followPreference = () => document.documentElement.classList.toggle('dark-mode', prefersDark.matches)
prefersDark.addEventListener('change', followPreference)
followPreference()

/** @param {string} message */
const announce = (message) => {
  byId('session-state').textContent = message
}

const session = createSession((account, message = '') => {
  announce(account ? `Signed in as ${account.username} (${account.role})` : message)
  demoButton.hidden = account !== undefined || demoButton.dataset.demo !== 'true'
  signInButton.hidden = account !== undefined
  signOutButton.hidden = account === undefined
  if (account) ui.preauthorizeApiKey(securityScheme, account.accessToken)
  else if (ui.authSelectors.authorized()?.has(securityScheme)) ui.authActions.logout([securityScheme])
})

/** Replaces the token that Swagger UI has by one that is still valid. @param {any} request */
async function withValidToken(request) {
  if (!request.headers?.Authorization) return request
  const token = await session.accessToken()
  if (token === undefined) delete request.headers.Authorization
  else request.headers.Authorization = `Bearer ${token}`
  return request
}

/** Signs in with the tokens of a request that the reader has tried, and notices that a token was refused. @param {any} response */
async function followSession(response) {
  const { pathname } = new URL(response.url, location.href)
  if (response.ok && /^\/(login|token\/refresh)$/.test(pathname)) await session.adopt(response.body)
  if (response.status === 401) session.expire()
  return response
}

const ui = /** @type {any} */ (globalThis).SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#reference',
  plugins: [plugins],
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: -1,
  defaultModelExpandDepth: 3,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // The numbers of the default theme have too little contrast.
  syntaxHighlight: { theme: 'tomorrow-night' },
  validatorUrl: null,
  requestInterceptor: withValidToken,
  responseInterceptor: followSession,
  onComplete: session.restore,
})

/**
 * Runs an action of a button once at a time. The focus stays on the button or, if it has disappeared, on the one that replaces it.
 * @param {any} button @param {() => Promise<void>} action @param {(message: string) => void} report */
async function once(button, action, report) {
  button.disabled = true
  try {
    await action()
  } catch (error) {
    report(/** @type {Error} */ (error).message)
  } finally {
    button.disabled = false
    const buttons = [button, signOutButton, demoButton, signInButton]
    buttons.find((each) => each.checkVisibility())?.focus()
  }
}

demoButton.addEventListener('click', () =>
  once(demoButton, () => demoSignIn(session, ui.specSelectors.specJson().toJS()), announce),
)
signOutButton.addEventListener('click', () => once(signOutButton, session.signOut, announce))
signInButton.addEventListener('click', () => {
  byId('sign-in-fault').textContent = ''
  dialog.showModal()
})
byId('sign-in-cancel').addEventListener('click', () => dialog.close())
form.addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault()
  const fields = Object.fromEntries(new FormData(form))
  const key = String(fields.name).includes('@') ? 'email' : 'username'
  const report = (/** @type {string} */ message) => {
    byId('sign-in-fault').textContent = message
  }
  void once(
    byId('sign-in-submit'),
    async () => {
      await session.signIn({ [key]: fields.name, password: fields.password })
      form.reset()
      dialog.close()
    },
    report,
  )
})
