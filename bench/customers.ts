import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Stage } from './stage.ts'

export const password = 'correct horse battery'

interface Customer {
  userId: string
  email: string
  token: string
}

/** Registers customers and signs them in; `url` is of what hosts auth. */
export async function registerCustomers(url: string, count: number): Promise<Customer[]> {
  const customers: Customer[] = []
  for (let number = 0; number < count; number++) {
    const username = `buyer-${randomBytes(4).toString('hex')}-${number}`
    const email = `${username}@example.com`
    const { userId } = await post<{ userId: string }>(`${url}/register`, { username, email, password })
    customers.push({ userId, email, token: await signIn(url, email, password) })
  }
  return customers
}

export const signIn = async (url: string, email: string, password: string): Promise<string> =>
  (await post<{ accessToken: string }>(`${url}/login`, { email, password })).accessToken

/** For wrk to read, one a line. @returns the path */
export async function fileOf(stage: Stage, lines: readonly string[]): Promise<string> {
  const file = join(stage.folder, `${randomBytes(4).toString('hex')}.txt`)
  await writeFile(file, lines.join('\n'))
  return file
}

/** Of 64 customers. @returns the path of a file with an access token of each */
export const buyers = async (stage: Stage, url: string): Promise<string> =>
  fileOf(
    stage,
    (await registerCustomers(url, 64)).map(({ token }) => token),
  )

/** @returns what is answered, as JSON */
export async function post<Answer>(
  url: string,
  body: object,
  token?: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      ...headers,
      'Content-Type': 'application/json',
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`POST ${url} answered ${response.status}: ${await response.text()}`)
  return response.json() as Promise<Answer>
}
