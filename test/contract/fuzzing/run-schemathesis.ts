import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Account } from '#test/support/client.ts'
import { type Deployment, deploy, type Shape } from '#test/support/processes.ts'
import { runProgram } from '#test/support/run-program.ts'
import { createPeople, type People } from '#test/support/valid-requests.ts'
import { pythonPrograms } from '../python.ts'

export const callers = ['anonymous', 'customer', 'admin'] as const
export type Caller = (typeof callers)[number]

/** How often each operation was answered with each status. */
export type Statuses = Record<string, Record<string, number>>

const folder = fileURLToPath(new URL('.', import.meta.url))

/** One address sends all requests, and each may wait for its place on a loaded machine. */
const settings = {
  REQUEST_TIMEOUT: '30s',
  ACCESS_TOKEN_TTL: '12h',
  LOGIN_FAILURES_PER_ACCOUNT: '1000000/15m',
  LOGIN_FAILURES_PER_ADDRESS: '1000000/15m',
  REGISTRATIONS_PER_ADDRESS: '1000000/1h',
}

/** Starts the program in the shape, with the accounts that Schemathesis uses. */
export async function deployForFuzzing(shape: Shape) {
  const shop = await deploy(shape, settings)
  return { shop, people: await createPeople(shop) }
}

/**
 * Lets Schemathesis send requests that it generates from the OpenAPI document.
 * @param options options of `schemathesis run`
 * @returns the statuses of the answers
 * @throws Error with the report of Schemathesis, if an answer is not as the document describes it
 */
export async function runSchemathesis(
  { shop, people }: { shop: Deployment; people: People },
  caller: Caller,
  options: readonly string[],
): Promise<Statuses> {
  const programs = await pythonPrograms(join(folder, 'requirements.txt'))
  const results = await mkdtemp(join(tmpdir(), 'trivet-fuzzing-'))
  const account: Account = caller === 'admin' ? people.boss : people.ada
  const token = caller === 'anonymous' ? [] : ['--header', `Authorization: Bearer ${account.token}`]
  const environment = {
    SCHEMATHESIS_HOOKS: 'hooks',
    PYTHONDONTWRITEBYTECODE: '1',
    TRIVET_URL: shop.url,
    TRIVET_ADMIN_TOKEN: people.boss.token,
    TRIVET_CUSTOMER_TOKEN: people.ada.token,
    TRIVET_EMAIL: account.email,
    TRIVET_PASSWORD: account.password,
    TRIVET_STATUSES: join(results, 'statuses.json'),
  }
  const args = ['run', `${shop.url}/openapi.json`, ...token, ...options]
  try {
    await runProgram(join(programs, 'schemathesis'), args, environment, folder)
    return JSON.parse(await readFile(environment.TRIVET_STATUSES, 'utf8'))
  } finally {
    await rm(results, { recursive: true, force: true })
  }
}
