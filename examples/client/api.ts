import createClient, { type Client } from 'openapi-fetch'
import { fetchWithRetries } from './fetch-with-retries.ts'
import type { components, paths } from './schema.d.ts'

export type Api = Client<paths>
export type Schemas = components['schemas']

/** The problem document of an answer, as an error. Its `code` says what went wrong. */
export class ProblemError extends Error {
  readonly code: string

  constructor({ code, detail, requestId }: { code: string; detail: string; requestId: string }) {
    super(`${code}: ${detail} (request ${requestId})`)
    this.code = code
  }
}

/** Signs in, and returns a client that sends the access token with each request. */
export async function signIn(baseUrl: string, email: string, password: string): Promise<Api> {
  const api = createClient<paths>({ baseUrl, fetch: fetchWithRetries })
  const { data, error } = await api.POST('/login', { body: { email, password } })
  if (error) throw new ProblemError(error)
  api.use({
    onRequest({ request }) {
      request.headers.set('Authorization', `Bearer ${data.accessToken}`)
      return request
    },
  })
  return api
}
