import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BenchContext } from './context.ts'

export const password = 'correct horse battery'

interface Customer {
  userId: string
  email: string
  token: string
}

/**
 * Registers customers and signs them in.
 * @param url the process that hosts auth
 */
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

/** Writes the lines to a file for load.lua. @returns the path */
export async function writeLines(context: BenchContext, lines: readonly string[]): Promise<string> {
  const file = join(context.folder, `${randomBytes(4).toString('hex')}.txt`)
  await writeFile(file, lines.join('\n'))
  return file
}

/** Registers 64 customers. @returns the path of a file with their access tokens */
export const writeBuyerTokens = async (context: BenchContext, url: string): Promise<string> =>
  writeLines(
    context,
    (await registerCustomers(url, 64)).map(({ token }) => token),
  )

/** @returns the body of the response */
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
