import { Refusal } from './session.js'

// `crypto.randomUUID` does not exist on a page that was loaded without TLS from a host other than localhost.
const randomHex = (/** @type {number} */ bytes) =>
  [...crypto.getRandomValues(new Uint8Array(bytes))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')

/** The example of the operation `signIn`. @param {any} document */
const demoCredentials = ({ paths }) =>
  paths['/login'].post.requestBody.content['application/json'].examples.email.value

/**
 * Signs in with the demo's customer, whose credentials are the example of the operation `signIn`. Any reader can change the
 * password of this account, and a store may be older than the account. Then the reader gets a new customer instead.
 * @param {ReturnType<import('./session.js').createSession>} session @param {any} document
 */
export async function demoSignIn(session, document) {
  try {
    await session.signIn(demoCredentials(document))
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 401) throw error
    const username = `demo-${randomHex(4)}`
    const password = randomHex(16)
    await session.register({ username, email: `${username}@example.com`, password })
    await session.signIn({ username, password })
  }
}
