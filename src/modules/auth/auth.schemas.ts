import { z } from '@hono/zod-openapi'
import { roles } from '#kernel/principal.ts'
import { publicKey } from '#kernel/public-key.ts'
import { alongWithFields, id, int32, timestamp } from '#kernel/schemas.ts'
import { email, password, username } from './credentials.ts'

/** The bodies of the requests and answers of the auth module. */

export const user = z
  .object({
    userId: id.openapi({ description: 'The server sets it, and it never changes.' }),
    username: z.string(),
    email: z.string(),
    role: z.enum(roles).openapi('Role', {
      description: 'A new account is a `customer`. Only an operator can make it an `admin`.',
    }),
    createdAt: timestamp,
  })
  .openapi('User')

export const accountDraft = z.strictObject({ username, email, password }).openapi('AccountDraft')

const passwordAttempt = z.string().min(1).max(1_000).openapi({ format: 'password' })
const name = z.string().max(254)

const signInWithEmail = z.strictObject({ email: name, password: passwordAttempt }).openapi('SignInWithEmail')
const signInWithUsername = z
  .strictObject({ username: name, password: passwordAttempt })
  .openapi('SignInWithUsername')

/** The body of a sign-in as the OpenAPI document describes it. */
export const signIn = z
  .union([signInWithEmail, signInWithUsername])
  .openapi(
    'SignIn',
    { description: 'The body has either the e-mail address or the username of the account, and not both.' },
    { unionPreferredType: 'oneOf' },
  )

/**
 * Accepts the same bodies as `signIn`. A union reports the faults of each alternative on its own. This schema reports all faults
 * of a body at once.
 */
export const signInCheck = z
  .strictObject({ email: name.optional(), username: name.optional(), password: passwordAttempt })
  .refine(({ email, username }) => (email === undefined) !== (username === undefined), {
    message: 'must have either email or username, and not both',
    ...alongWithFields,
  })

export const tokens = z
  .object({
    accessToken: z.string().openapi({
      description:
        'A JWT, signed with EdDSA. Send it as `Authorization: Bearer <accessToken>`. Verify it with the keys of `/.well-known/jwks.json`.',
    }),
    tokenType: z.literal('Bearer'),
    expiresIn: int32.openapi({ description: 'The lifetime of the access token in seconds.' }),
    refreshToken: z
      .string()
      .openapi({ description: 'An opaque token. It can be exchanged once for a new pair of tokens.' }),
  })
  .openapi('Tokens')

// Any text is valid here. A text that is not a token gets the same answer as an unknown token.
const refreshToken = z.string().max(1_000).openapi({
  format: 'password',
  description: 'The `refreshToken` of the last sign-in or refresh.',
})
export const tokenRefresh = z.strictObject({ refreshToken }).openapi('TokenRefresh')
export const signOut = z.strictObject({ refreshToken }).openapi('SignOut')

export const passwordChange = z
  .strictObject({ currentPassword: passwordAttempt, newPassword: password })
  .openapi('PasswordChange')

export const keySet = z
  .object({
    keys: z.array(
      publicKey.openapi('PublicKey', { description: 'A public Ed25519 key as a JWK (RFC 8037).' }),
    ),
  })
  .openapi('KeySet', { description: 'A JWK Set (RFC 7517).' })
