import { z } from '@hono/zod-openapi'
import { charactersOf } from '../../kernel/schemas.ts'

/** What a username, an e-mail address and a password may be. */

export const username = z
  .string()
  .regex(/^[A-Za-z0-9._-]{3,30}$/, 'must have 3 to 30 of A-Z a-z 0-9 . _ -')
  .openapi({ example: 'ada' })

export const email = z.email().max(254).openapi({ example: 'ada@example.com' })

/** bcrypt reads no more than 72 bytes and stops at NUL: what it would not hash is refused, never cut. */
export const passwordBytes = 72

export const password = z
  .string()
  .refine((value) => value.length >= 16 || charactersOf(value) >= 8, 'must have 8 characters or more')
  .refine(
    (value) => Buffer.byteLength(value) <= passwordBytes,
    `must have ${passwordBytes} bytes of UTF-8 or fewer`,
  )
  .refine((value) => value.isWellFormed() && !value.includes('\0'), 'must be well-formed Unicode without NUL')
  .openapi({
    type: 'string',
    format: 'password',
    minLength: 8,
    maxLength: 72,
    example: 'correct horse battery',
  })
