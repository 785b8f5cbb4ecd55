import { Refusal } from './session.js'

// `crypto.randomUUID` does not exist on a page that was loaded without TLS from a host other than localhost.
const randomHex = (/** @type {number} */ bytes) =>
  [...crypto.getRandomValues(new Uint8Array(bytes))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')

/** The example of a media type: its own, or that of its schema. @param {any} media @param {any} document */
function exampleOf(media, document) {
  const own = media.example ?? Object.values(media.examples ?? {})[0]?.value
  if (own !== undefined) return own
  let { schema } = media
  while (schema && schema.example === undefined && schema.examples === undefined) {
    const { $ref, oneOf } = schema
    schema = $ref ? document.components.schemas[$ref.split('/').at(-1)] : oneOf?.[0]
  }
  return schema?.example ?? schema?.examples?.[0]
}

/** @param {any} document @param {string} id */
function requestExample(document, id) {
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path))
  const operation = operations.find(({ operationId }) => operationId === id)
  return exampleOf(operation.requestBody.content['application/json'], document)
}

/**
 * Signs in with the demo's customer, whose credentials are the example of the operation `signIn`. Any reader can change the
 * password of this account, and a store may be older than the account. Then the reader gets a new customer instead.
 * @param {ReturnType<import('./session.js').createSession>} session @param {any} document
 */
export async function demoSignIn(session, document) {
  try {
    await session.signIn(requestExample(document, 'signIn'))
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 401) throw error
    const username = `demo-${randomHex(4)}`
    const password = randomHex(16)
    await session.register({ username, email: `${username}@example.com`, password })
    await session.signIn({ username, password })
  }
}
