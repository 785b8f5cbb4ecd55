import { z } from '@hono/zod-openapi'
import { duration, integer, rate } from '#kernel/config/values.ts'
import type { Registration } from './accounts.ts'
import { email, password, username } from './credentials.ts'
import { findWeaknessNow } from './passwords/find-weakness.ts'
import { isExample, parsePrivateKeys } from './sessions/signing-keys.ts'

/** This applies in production, because attackers make more guesses for an admin's password than for a customer's. */
const minAdminPasswordCharacters = 12

const adminVariables = ['ADMIN_USERNAME', 'ADMIN_EMAIL', 'ADMIN_PASSWORD'] as const

const dayMs = 86_400_000

const lifetime = duration.pipe(z.int().min(1_000, 'must be 1s or more'))

/** The environment variables of the module. */
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
      // An access token cannot be revoked, so it lasts for a day at most.
      ACCESS_TOKEN_TTL: lifetime.pipe(z.int().max(dayMs, 'must be 1d or less')).default(900_000),
      // The bound keeps the expiry of a token within the range of a date.
      REFRESH_TOKEN_TTL: lifetime
        .pipe(z.int().max(3_650 * dayMs, 'must be 3650d or less'))
        .default(30 * dayMs),
      BCRYPT_COST: integer(production ? 10 : 4, 20).default(12),
      // Node.js reads this variable itself. It is the number of threads that hash passwords, and that read files and resolve names.
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
    // The check also runs if other settings have faults, so that one message has all faults.
    when: () => true,
    path: ['ADMIN_PASSWORD'],
    error: ({ input }) => adminWeakness(input),
  })
}

/** Says why a well-formed ADMIN_PASSWORD is too weak. Undefined if it is strong or malformed. */
function adminWeakness(settings: unknown): string | undefined {
  const { ADMIN_USERNAME, ADMIN_EMAIL, ADMIN_PASSWORD } = (settings ?? {}) as Record<string, unknown>
  const { data: chosen } = password.safeParse(ADMIN_PASSWORD)
  if (chosen === undefined) return undefined
  const account = { username: String(ADMIN_USERNAME ?? ''), email: String(ADMIN_EMAIL ?? '') }
  const hasNames = account.username !== '' && account.email !== ''
  const weakness = hasNames ? findWeaknessNow(chosen, account) : undefined
  if (weakness !== undefined || [...chosen].length >= minAdminPasswordCharacters) return weakness
  return `must have ${minAdminPasswordCharacters} characters or more when NODE_ENV=production`
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

/** Names that other programs use for these settings. */
export const misnamedAuthSettings = {
  ACCESS_TOKEN_TTL: [
    'JWT_EXPIRES_IN',
    'JWT_EXPIRATION',
    'JWT_TTL',
    'ACCESS_TOKEN_EXPIRES_IN',
    'ACCESS_TOKEN_LIFETIME',
  ],
  ADMIN_EMAIL: ['ADMIN_MAIL'],
  ADMIN_PASSWORD: ['ADMIN_PASS', 'ADMIN_PWD'],
  ADMIN_USERNAME: ['ADMIN_USER', 'ADMIN_NAME'],
  BCRYPT_COST: ['BCRYPT_ROUNDS', 'BCRYPT_SALT_ROUNDS', 'SALT_ROUNDS'],
  JWT_PRIVATE_KEYS: [
    'JWT_SECRET',
    'JWT_SECRET_KEY',
    'JWT_KEY',
    'JWT_KEYS',
    'JWT_SIGNING_KEY',
    'JWT_SIGNING_KEYS',
  ],
  REFRESH_TOKEN_TTL: ['JWT_REFRESH_EXPIRES_IN', 'REFRESH_TOKEN_EXPIRES_IN', 'REFRESH_TOKEN_LIFETIME'],
}
