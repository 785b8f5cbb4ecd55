/**
 * The sign-in of the reference. It is kept in sessionStorage, so that it survives a reload, ends with the tab, and is not sent
 * with requests by itself as a cookie would be. Only scripts of this origin can read it, and the content security policy of the
 * page allows no others.
 */

/** @typedef {{ accessToken: string, refreshToken: string, expiresIn: number }} Tokens */
/** @typedef {{ accessToken: string, refreshToken: string, expiresAt: number, username: string, role: string }} Session */

const storageKey = 'trivet-session'
// An access token is replaced this long before it expires, because the request that carries it takes time.
const marginMs = 30_000

/** An answer of the API that is not a success. */
export class Refusal extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

/** @param {string} path @param {RequestInit} [init] */
async function call(path, init) {
  const response = await fetch(path, init)
  const text = await response.text()
  const body = text === '' ? {} : JSON.parse(text)
  if (!response.ok)
    throw new Refusal(response.status, body.detail ?? body.title ?? `status ${response.status}`)
  return body
}

/** @param {string} path @param {object} body */
const post = (path, body) =>
  call(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })

/** @returns {Session | undefined} */
function read() {
  try {
    return JSON.parse(sessionStorage.getItem(storageKey) ?? 'null') ?? undefined
  } catch {
    // This page stores only JSON. The reader may have changed the value.
    return undefined
  }
}

/** @param {(session: Session | undefined, reason?: string) => void} onChange */
export function createSession(onChange) {
  /** @type {Promise<void> | undefined} */
  let refreshing

  /** @param {Session | undefined} session @param {string} [reason] */
  const write = (session, reason) => {
    if (session) sessionStorage.setItem(storageKey, JSON.stringify(session))
    else sessionStorage.removeItem(storageKey)
    onChange(session, reason)
  }

  /** @param {Tokens} tokens */
  const adopt = async ({ accessToken, refreshToken, expiresIn }) => {
    const expiresAt = Date.now() + expiresIn * 1_000
    const profile = await call('/profile', { headers: { Authorization: `Bearer ${accessToken}` } })
    write({ accessToken, refreshToken, expiresAt, username: profile.username, role: profile.role })
  }

  /** @param {Session} session */
  const refresh = async ({ refreshToken }) => {
    try {
      await adopt(await post('/token/refresh', { refreshToken }))
    } catch (error) {
      // A refused refresh token cannot become valid again. Any other failure may pass, so the sign-in is kept.
      if (error instanceof Refusal && error.status === 401)
        write(undefined, 'Your sign-in has ended. Sign in again.')
    }
  }

  return {
    adopt,
    /** @param {object} credentials */
    signIn: async (credentials) => adopt(await post('/login', credentials)),
    /** @param {object} account */
    register: (account) => post('/register', account),

    /** Returns an access token that is still valid, or undefined without a sign-in. Several callers share one refresh. */
    async accessToken() {
      const session = read()
      if (session && session.expiresAt - marginMs < Date.now()) {
        refreshing ??= refresh(session).finally(() => {
          refreshing = undefined
        })
        await refreshing
      }
      return read()?.accessToken
    },

    /** Marks the access token as expired, because the API has refused it. The next request begins with a refresh. */
    expire() {
      const session = read()
      if (session) write({ ...session, expiresAt: 0 })
    },

    async signOut() {
      const refreshToken = read()?.refreshToken
      write(undefined)
      if (refreshToken !== undefined) await post('/logout', { refreshToken })
    },

    /** Shows the stored sign-in. */
    restore: () => onChange(read()),
  }
}
