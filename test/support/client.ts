import { randomUUID } from 'node:crypto'

// biome-ignore lint/suspicious/noExplicitAny: tests read any field of an answer
export type Json = any

export interface Answer {
  status: number
  headers: Headers
  body: Json
}

export interface RequestOptions {
  token?: string | undefined
  headers?: Record<string, string>
  /** This value is sent as JSON. */
  body?: unknown
  /** This body is sent as it is. */
  raw?: string | Uint8Array<ArrayBuffer>
}

export interface Account {
  userId: string
  username: string
  email: string
  password: string
  token: string
  refreshToken: string
}

export type Client = ReturnType<typeof createClient>

/** A client of the API, over a socket or directly into the application. */
export function createClient(send: (path: string, init: RequestInit) => Promise<Response> | Response) {
  const request = async (method: string, path: string, options: RequestOptions = {}): Promise<Answer> => {
    const headers = new Headers(options.headers)
    if (options.token !== undefined) headers.set('authorization', `Bearer ${options.token}`)
    const body = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body))
    if (body !== undefined && !headers.has('content-type')) headers.set('content-type', 'application/json')
    const response = await send(path, { method, headers, ...(body !== undefined && { body }) })
    const text = await response.text()
    const isJson = text !== '' && response.headers.get('content-type')?.includes('json')
    return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
  }

  /** Signs in and returns both tokens. */
  const signIn = async (
    email: string,
    password: string,
  ): Promise<{ accessToken: string; refreshToken: string }> => {
    const answer = await request('POST', '/login', { body: { email, password } })
    if (answer.status !== 200) throw new Error(`sign-in failed: ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  return {
    request,
    get: (path: string, options?: RequestOptions) => request('GET', path, options),
    post: (path: string, options?: RequestOptions) => request('POST', path, options),
    put: (path: string, options?: RequestOptions) => request('PUT', path, options),
    delete: (path: string, options?: RequestOptions) => request('DELETE', path, options),
    signIn,
    login: async (email: string, password: string) => (await signIn(email, password)).accessToken,

    /** Registers a new customer and signs in. */
    async customer(): Promise<Account> {
      const username = `u-${randomUUID().slice(0, 8)}`
      const account = { username, email: `${username}@example.com`, password: 'correct horse battery' }
      const answer = await request('POST', '/register', { body: account })
      if (answer.status !== 201) throw new Error(`registration failed: ${JSON.stringify(answer.body)}`)
      const { accessToken, refreshToken } = await signIn(account.email, account.password)
      return { ...account, userId: answer.body.userId, token: accessToken, refreshToken }
    },

    /** Creates a product. `token` is an admin's access token. */
    async product(token: string, product: Record<string, unknown> = {}): Promise<Json> {
      const body = { name: 'Cup', price: 12.9, stock: 10, ...product }
      const answer = await request('POST', '/products', { token, body })
      if (answer.status !== 201) throw new Error(`no product: ${JSON.stringify(answer.body)}`)
      return answer.body
    },

    order: (token: string, productList: unknown, headers: Record<string, string> = {}) =>
      request('POST', '/orders', { token, headers, body: { productList } }),
  }
}
