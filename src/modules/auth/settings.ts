import { z } from '@hono/zod-openapi'
import { duration, integer, rate } from '#kernel/config/values.ts'
import type { Registration } from './accounts.ts'
import { email, password, username } from './credentials.ts'
import { findWeaknessNow } from './passwords/find-weakness.ts'
import { isExample, parsePrivateKeys } from './sessions/signing-keys.ts'

/** In production. An admin's is worth more guesses than a customer's. */
const adminPasswordCharacters = 12

const adminVariables = ['ADMIN_USERNAME', 'ADMIN_EMAIL', 'ADMIN_PASSWORD'] as const

const day = 86_400_000

/** Of a token: it is all that ends an access token, and a duration can say more than a date can. */
const lifetime = duration.pipe(z.int().min(1_000, 'must be 1s or more'))

/** The module's environment variables. */
export const authSettings = ({ production }: { production: boolean }) => {
  const privateKeys = z.string().transform((value, context) => {
    try {
      const keys = parsePrivateKeys(value)
      if (production && keys.some(isExample))
        context.addIssue('must not hold a key that was published as an example when NODE_ENV=production')
      return keys
    } catch (error) {
      context.addIssue((error as Error).message)
      return z.NEVER
    }
  })
  const settings = z
    .object({
      JWT_PRIVATE_KEYS: production ? privateKeys : privateKeys.optional(),
      ACCESS_TOKEN_TTL: lifetime.pipe(z.int().max(day, 'must be 1d or less')).default(900_000),
      REFRESH_TOKEN_TTL: lifetime.pipe(z.int().max(3_650 * day, 'must be 3650d or less')).default(30 * day),
      BCRYPT_COST: integer(production ? 10 : 4, 20).default(12),
      // Node's own: how many threads there are for hashing and, beside it, for whatever else needs one.
      UV_THREADPOOL_SIZE: integer(1, 1_024).default(4),
      LOGIN_FAILURES_PER_ACCOUNT: rate.default({ max: 10, withinMs: 900_000 }),
      LOGIN_FAILURES_PER_ADDRESS: rate.default({ max: 100, withinMs: 900_000 }),
      REGISTRATIONS_PER_ADDRESS: rate.default({ max: 100, withinMs: 3_600_000 }),
      ADMIN_USERNAME: username.optional(),
      ADMIN_EMAIL: email.optional(),
      ADMIN_PASSWORD: password.optional(),
    })
    .superRefine((settings, context) => {
      const given = adminVariables.filter((variable) => settings[variable] !== undefined)
      if (given.length === 0) return
      for (const variable of adminVariables.filter((name) => !given.includes(name))) {
        context.addIssue({
          code: 'custom',
          path: [variable],
          message: `is required together with ${given.join(', ')}`,
        })
      }
    })
  if (!production) return settings
  return settings.refine((given) => adminWeakness(given) === undefined, {
    // With other faults as well: all of them are named at once.
    when: () => true,
    path: ['ADMIN_PASSWORD'],
    error: ({ input }) => adminWeakness(input),
  })
}

/** Of a password that has the right form, why it should not be an admin's. */
function adminWeakness(settings: unknown): string | undefined {
  const { ADMIN_USERNAME, ADMIN_EMAIL, ADMIN_PASSWORD } = (settings ?? {}) as Record<string, unknown>
  const { data: chosen } = password.safeParse(ADMIN_PASSWORD)
  if (chosen === undefined) return undefined
  const account = { username: String(ADMIN_USERNAME ?? ''), email: String(ADMIN_EMAIL ?? '') }
  const named = account.username !== '' && account.email !== ''
  const weakness = named ? findWeaknessNow(chosen, account) : undefined
  if (weakness !== undefined || [...chosen].length >= adminPasswordCharacters) return weakness
  return `must have ${adminPasswordCharacters} characters or more when NODE_ENV=production`
}

/** The admin account that the settings name. All three variables are set, or none is. */
export function adminOf(settings: {
  ADMIN_USERNAME?: string | undefined
  ADMIN_EMAIL?: string | undefined
  ADMIN_PASSWORD?: string | undefined
}): Registration | undefined {
  const { ADMIN_USERNAME: username, ADMIN_EMAIL: email, ADMIN_PASSWORD: password } = settings
  return username && email && password ? { username, email, password } : undefined
}
