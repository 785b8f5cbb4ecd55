import { createRoute } from '@hono/zod-openapi'
import {
  bearer,
  body,
  compressibleHeaders,
  json,
  locationHeader,
  signedIn,
  withBody,
} from '#kernel/http/openapi.ts'
import { authExamples as examples } from './auth.examples.ts'
import {
  accountDraft,
  keySet,
  passwordChange,
  signIn,
  signOut,
  tokenRefresh,
  tokens,
  user,
} from './auth.schemas.ts'
import { errors } from './problems.ts'

const tags = ['Accounts']

const signInBody = {
  required: true,
  content: {
    'application/json': {
      schema: signIn,
      examples: {
        email: { summary: 'With an e-mail address', value: examples.signInWithEmail },
        username: { summary: 'With a username', value: examples.signInWithUsername },
      },
    },
  },
}

/**
 * Links from a pair of tokens to the operations that take its refresh token. A link does not contain the body of the next request,
 * because openapi-generator refuses a document with an object there.
 */
const withRefreshToken = Object.fromEntries(
  ['refreshTokens', 'signOut'].map((operationId) => [
    operationId,
    { operationId, description: 'Send the `refreshToken` of this answer.' },
  ]),
)

export const authApi = {
  registerAccount: createRoute({
    method: 'post',
    path: '/register',
    tags,
    summary: 'Register an account',
    description: 'The new account is a customer. Sign in afterwards to get tokens.',
    request: { body: body(accountDraft, examples.account) },
    responses: {
      201: {
        description: 'The new account.',
        headers: locationHeader,
        content: json(user, examples.user),
        links: {
          signIn: {
            operationId: 'signIn',
            description: 'Send the `username` of this answer, and the password of this request.',
          },
        },
      },
      ...errors(...withBody, 'email_taken', 'username_taken', 'rate_limited'),
    },
  }),
  signIn: createRoute({
    method: 'post',
    path: '/login',
    tags,
    summary: 'Sign in with an e-mail address or a username',
    description:
      'An unknown account and a wrong password get the same answer. The examples have the credentials of the demo customer.',
    request: { body: signInBody },
    responses: {
      200: {
        description: 'An access token and a refresh token.',
        content: json(tokens, examples.tokens),
        links: withRefreshToken,
      },
      ...errors(...withBody, 'invalid_credentials', 'rate_limited'),
    },
  }),
  refreshTokens: createRoute({
    method: 'post',
    path: '/token/refresh',
    tags,
    summary: 'Refresh an access token',
    description:
      'Each refresh token works once. Within 10 s of its use, a client whose answer was lost can send it again and gets a valid pair. If it is sent again later, it is refused, and all refresh tokens of the same sign-in are revoked.',
    request: { body: body(tokenRefresh, examples.refreshToken) },
    responses: {
      200: {
        description: 'A new access token and a new refresh token.',
        content: json(tokens, examples.tokens),
        links: withRefreshToken,
      },
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
    request: { body: body(signOut, examples.refreshToken) },
    responses: {
      204: { description: 'The refresh tokens of this sign-in are revoked.' },
      ...errors(...withBody),
    },
  }),
  getProfile: createRoute({
    method: 'get',
    path: '/profile',
    tags,
    summary: 'Read your account',
    description: 'The answer is the account that the access token belongs to.',
    security: bearer,
    responses: {
      200: { description: 'The account.', content: json(user, examples.user) },
      ...errors('validation_failed', ...signedIn),
    },
  }),
  changePassword: createRoute({
    method: 'put',
    path: '/profile/password',
    tags,
    summary: 'Change your password',
    description:
      'Revokes all refresh tokens of the account. Access tokens stay valid until they expire. The new password may be the current one, as in the example, which keeps the password of the demo customer.',
    security: bearer,
    request: { body: body(passwordChange, examples.passwordChange) },
    responses: {
      204: { description: 'The password is changed.' },
      ...errors(...signedIn, ...withBody, 'wrong_password', 'rate_limited'),
    },
  }),
  listPublicKeys: createRoute({
    method: 'get',
    path: '/.well-known/jwks.json',
    tags,
    summary: 'Read the public keys that verify access tokens',
    responses: {
      200: {
        description: 'The key set.',
        headers: compressibleHeaders,
        content: json(keySet, examples.keySet),
      },
      ...errors('validation_failed'),
    },
  }),
}
