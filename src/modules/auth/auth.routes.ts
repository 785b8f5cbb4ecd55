import type { Context } from 'hono'
import { isDomainError } from '#kernel/errors.ts'
import type { AppEnv } from '#kernel/http/app-env.ts'
import type { Guard } from '#kernel/http/auth-guard.ts'
import { cacheControl, respondWith } from '#kernel/http/caching.ts'
import type { ClientOf } from '#kernel/http/client-address.ts'
import { body } from '#kernel/http/openapi.ts'
import { jsonOf } from '#kernel/http/representation.ts'
import { respond, respondJson } from '#kernel/http/respond.ts'
import { createRouter } from '#kernel/http/router.ts'
import type { PublicKey } from '#kernel/public-key.ts'
import type { Accounts } from './accounts.ts'
import { authApi } from './auth.api.ts'
import { signInCheck } from './auth.schemas.ts'
import type { SignIn } from './sign-in.ts'
import { type Limits, rateLimitPolicy } from './throttling/limits.ts'
import { userResponse } from './user.ts'

export function authRoutes(options: {
  accounts: Accounts
  signIn: SignIn
  publicKeys: PublicKey[]
  guard: Guard
  clientOf: ClientOf
  limits: Limits
}) {
  const { accounts, signIn, publicKeys, guard, clientOf, limits } = options
  const registrationPolicy = rateLimitPolicy({
    address: limits.registrationsPerAddress,
    name: limits.registrationsPerName,
  })
  const passwordPolicy = rateLimitPolicy({
    account: limits.failuresPerAccount,
    address: limits.failuresPerAddress,
  })
  const router = createRouter()
  const middleware = guard('customer')

  router.openapi(authApi.registerAccount, async (c) => {
    const registering = accounts.register(c.req.valid('json'), clientOf(c), c.get('call'))
    const user = await withPolicy(c, registrationPolicy, registering)
    return respondJson(c, userResponse(user), 201, { location: '/profile' })
  })

  router.openapi({ ...authApi.signIn, request: { body: body(signInCheck) } }, async (c) => {
    const signingIn = signIn.login(c.req.valid('json'), clientOf(c), c.get('call'))
    const tokens = await withPolicy(c, passwordPolicy, signingIn)
    return respondJson(c, tokens, 200)
  })

  router.openapi(authApi.refreshTokens, async (c) => {
    const tokens = await signIn.refresh(c.req.valid('json').refreshToken, clientOf(c), c.get('call'))
    return respondJson(c, tokens, 200)
  })

  router.openapi(authApi.signOut, async (c) => {
    await signIn.logout(c.req.valid('json').refreshToken, clientOf(c), c.get('call'))
    return respond(c, null, 204)
  })

  router.openapi({ ...authApi.getProfile, middleware }, async (c) => {
    const user = await accounts.profile(c.get('principal').userId, c.get('call'))
    return respondJson(c, userResponse(user), 200)
  })

  router.openapi({ ...authApi.changePassword, middleware }, async (c) => {
    const { userId } = c.get('principal')
    const change = { userId, ...c.req.valid('json') }
    await withPolicy(c, passwordPolicy, accounts.changePassword(change, clientOf(c), c.get('call')))
    return respond(c, null, 204)
  })

  const keySet = jsonOf({ keys: publicKeys })
  router.openapi(authApi.listPublicKeys, (c) => respondWith(c, keySet, cacheControl.keySet))

  return router
}

/** Adds the policy to a refusal for too many attempts. */
async function withPolicy<Result>(
  c: Context<AppEnv>,
  policy: string,
  work: Promise<Result>,
): Promise<Result> {
  try {
    return await work
  } catch (error) {
    if (isDomainError(error, 'rate_limited')) c.get('headers')['ratelimit-policy'] = policy
    throw error
  }
}
