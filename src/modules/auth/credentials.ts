import { z } from '@hono/zod-openapi'
import { charactersOf, isStorable, rule } from '#kernel/schemas.ts'

/** The formats of usernames, e-mail addresses and passwords. */

const usernameRule = 'must have 3 to 30 characters of A-Z a-z 0-9 . _ -'
export const username = z
  .string()
  .min(3, { message: usernameRule, abort: true })
  .max(30, { message: usernameRule, abort: true })
  .regex(/^[A-Za-z0-9._-]*$/, usernameRule)

const emailCharacters = 254

/**
 * An e-mail address as browsers accept it in `<input type=email>` (HTML, 4.10.5.1.5). The length is checked first, because it
 * takes long to match the pattern with a long text. OpenAPI's format `email` means a different grammar (RFC 5321), so the OpenAPI
 * document has the pattern without this format.
 */
export const email = z
  .string()
  .max(emailCharacters, { abort: true })
  .regex(
    z.regexes.html5Email,
    'must be an e-mail address such as ada@example.com, with an international domain in its ASCII form (xn--...)',
  )
  .openapi({
    type: 'string',
    maxLength: emailCharacters,
    pattern: z.regexes.html5Email.source,
    description: 'An e-mail address, with an international domain in its ASCII form.',
  })

/** bcrypt ignores bytes after the 72nd, and all bytes from a NUL on. A password with such bytes is refused, not truncated. */
export const passwordBytes = 72

export const password = z
  .string()
  .refine(
    (value) => value.length >= 16 || charactersOf(value) >= 8,
    rule('min', 'must have 8 characters or more'),
  )
  .refine(
    (value) => Buffer.byteLength(value) <= passwordBytes,
    rule('max', `must have ${passwordBytes} bytes of UTF-8 or fewer`),
  )
  .refine(isStorable, rule('format', 'must be well-formed Unicode without NUL'))
  .openapi({
    type: 'string',
    format: 'password',
    minLength: 8,
    maxLength: 72,
    description:
      'At least 8 characters, and at most 72 bytes of UTF-8. Common passwords, repeated blocks, sequences and the names of the account are refused.',
  })
