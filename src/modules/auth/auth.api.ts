import { createRoute, z } from '@hono/zod-openapi'
import { bearer, body, json, locationHeader, signedIn, withBody } from '#kernel/http/openapi.ts'
import { roles } from '#kernel/principal.ts'
import { publicKey } from '#kernel/public-key.ts'
import { alongWithFields, id, timestamp } from '#kernel/schemas.ts'
import { email, password, username } from './credentials.ts'
import { errors } from './problems.ts'

const tags = ['Accounts']

const user = z
  .object({ userId: id, username: z.string(), email: z.string(), role: z.enum(roles), createdAt: timestamp })
  .openapi('User', {
    example: {
      userId: '66f2a1b0c3d4e5f607182900',
      username: 'ada',
      email: 'ada@example.com',
      role: 'customer',
      createdAt: '2026-11-23T10:15:00.000Z',
    },
  })

const registration = z.strictObject({ username, email, password }).openapi('Registration')

const passwordAttempt = z.string().min(1).max(1_000).openapi({ format: 'password' })

const login = z
  .strictObject({
    email: z.string().max(254).optional(),
    username: z.string().max(254).optional(),
    password: passwordAttempt,
  })
  .refine(({ email, username }) => (email === undefined) !== (username === undefined), {
    message: 'must name either email or username',
    ...alongWithFields,
  })
  .openapi('Login', {
    oneOf: [{ required: ['email'] }, { required: ['username'] }],
    example: { email: 'ada@example.com', password: 'correct horse battery' },
  })

const tokens = z
  .object({
    accessToken: z.string().openapi({
      description: 'A JWT, signed with EdDSA. Verify it with the keys of `/.well-known/jwks.json`.',
    }),
    tokenType: z.literal('Bearer'),
    expiresIn: z.int().openapi({ description: 'The lifetime of the access token in seconds.', example: 900 }),
    refreshToken: z
      .string()
      .openapi({ description: 'An opaque token. It can be exchanged once for a new pair of tokens.' }),
  })
  .openapi('Tokens')

// Any text is valid here. A text that is not a token gets the same answer as an unknown token.
const refreshToken = z
  .strictObject({ refreshToken: z.string().max(1_000).openapi({ format: 'password' }) })
  .openapi('RefreshToken', { example: { refreshToken: 'nQe0…' } })

const passwordChange = z
  .strictObject({ currentPassword: passwordAttempt, newPassword: password })
  .openapi('PasswordChange', {
    example: { currentPassword: 'correct horse battery', newPassword: 'staples for the battery' },
  })

const keySet = z
  .object({ keys: z.array(publicKey.openapi('PublicKey')) })
  .openapi('KeySet', { description: 'JWK Set (RFC 7517)' })

export const authApi = {
  registerAccount: createRoute({
    method: 'post',
    path: '/register',
    tags,
    summary: 'Register an account',
    request: { body: body(registration) },
    responses: {
      201: { description: 'The new account', headers: locationHeader, content: json(user) },
      ...errors(...withBody, 'email_taken', 'username_taken', 'rate_limited', 'overloaded'),
    },
  }),
  signIn: createRoute({
    method: 'post',
    path: '/login',
    tags,
    summary: 'Sign in with an e-mail address or a username',
    request: { body: body(login) },
    responses: {
      200: { description: 'An access token and a refresh token', content: json(tokens) },
      ...errors(...withBody, 'invalid_credentials', 'rate_limited', 'overloaded'),
    },
  }),
  refreshTokens: createRoute({
    method: 'post',
    path: '/token/refresh',
    tags,
    summary: 'Refresh an access token',
    description:
      'Each refresh token works once. Within 10 s of its use, a client whose answer was lost can send it again and gets a valid pair. If it is sent again later, it is refused, and all refresh tokens of the same sign-in are revoked.',
    request: { body: body(refreshToken) },
    responses: {
      200: { description: 'A new access token and a new refresh token', content: json(tokens) },
      ...errors(...withBody, 'invalid_token'),
    },
  }),
  signOut: createRoute({
    method: 'post',
    path: '/logout',
    tags,
    summary: 'Sign out',
    description:
      'Revokes all refresh tokens of the same sign-in. Access tokens stay valid until they expire. The answer is the same for an unknown token.',
    request: { body: body(refreshToken) },
    responses: { 204: { description: 'Signed out' }, ...errors(...withBody) },
  }),
  getProfile: createRoute({
    method: 'get',
    path: '/profile',
    tags,
    summary: 'Read your account',
    security: bearer,
    responses: {
      200: { description: 'The account', content: json(user) },
      ...errors('validation_failed', ...signedIn),
    },
  }),
  changePassword: createRoute({
    method: 'put',
    path: '/profile/password',
    tags,
    summary: 'Change your password',
    description: 'Revokes all refresh tokens of the account. Access tokens stay valid until they expire.',
    security: bearer,
    request: { body: body(passwordChange) },
    responses: {
      204: { description: 'The password is changed' },
      ...errors(...signedIn, ...withBody, 'wrong_password', 'rate_limited', 'overloaded'),
    },
  }),
  listPublicKeys: createRoute({
    method: 'get',
    path: '/.well-known/jwks.json',
    tags,
    summary: 'Read the public keys that verify access tokens',
    responses: {
      200: { description: 'The key set', content: json(keySet) },
      ...errors('validation_failed'),
    },
  }),
}
