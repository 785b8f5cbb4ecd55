import { z } from '@hono/zod-openapi'
import {
  currencyCode,
  flag,
  httpUrl,
  integer,
  isAddressRange,
  list,
  listenAddress,
  origins,
  waitDuration,
} from './values.ts'

/** The name of the variable with a remote module's URL. */
export const urlVariable = (name: string): string => `${name.toUpperCase().replaceAll('-', '_')}_URL`

export const environmentSetting = z.object({
  NODE_ENV: z
    .enum(['production', 'development', 'test'], {
      error: 'must be production, development or test; unset, it is development',
    })
    .optional(),
})

/** The settings that do not belong to one module. */
export const generalSettings = (names: readonly string[], production: boolean) =>
  z.object({
    SERVICE: list
      .refine(
        (value) => value.length > 0 && value.every((name) => name === 'all' || names.includes(name)),
        `must be all, or a comma list of ${names.join(', ')}`,
      )
      .default(['all']),
    PORT: integer(0, 65_535).default(3000),
    MANAGEMENT_PORT: integer(0, 65_535).optional(),
    HOST: listenAddress.default('0.0.0.0'),
    MONGODB_URI: z
      .string()
      .regex(/^mongodb(\+srv)?:\/\//, 'must start with mongodb:// or mongodb+srv://')
      .optional(),
    MONGODB_DATABASE: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,40}$/, 'must be 1 to 40 of A-Z a-z 0-9 _ -')
      .default('trivet'),
    DATA_DIR: z.string().default('.data'),
    CURRENCY: currencyCode.default('EUR'),
    DEMO: flag.optional(),
    INTERNAL_SECRET: list
      .refine(
        (value) => value.length > 0 && value.every((secret) => Buffer.byteLength(secret) >= 32),
        'must have 32 bytes or more, as each of a comma list',
      )
      .transform((value) => value as [string, ...string[]])
      .optional(),
    REQUEST_TIMEOUT: waitDuration.pipe(z.int().min(100, 'must be 100ms or more')).default(4_000),
    DRAIN_DELAY: waitDuration.default(production ? 3_000 : 0),
    DRAIN_TIMEOUT: waitDuration.default(10_000),
    CORS_ORIGINS: origins.default([]),
    TRUSTED_PROXIES: list
      .refine(
        (value) => value.every(isAddressRange),
        'must be a comma list of addresses and CIDR ranges such as 10.0.0.0/8',
      )
      .default([]),
    LOG_LEVEL: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
        error: 'must be trace, debug, info, warn, error, fatal or silent',
      })
      .optional(),
    ...Object.fromEntries(names.map((name) => [urlVariable(name), httpUrl.optional()])),
  })

export type GeneralSettings = z.infer<ReturnType<typeof generalSettings>>
