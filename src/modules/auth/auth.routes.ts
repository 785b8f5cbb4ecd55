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
import { userResponse } from './user.ts'

export function authRoutes(options: {
  accounts: Accounts
  signIn: SignIn
  publicKeys: PublicKey[]
  guard: Guard
  clientOf: ClientOf
}) {
  const { accounts, signIn, publicKeys, guard, clientOf } = options
  const router = createRouter()
  const middleware = guard('customer')

  router.openapi(authApi.registerAccount, async (c) => {
    const user = await accounts.register(c.req.valid('json'), clientOf(c), c.get('call'))
    return respondJson(c, userResponse(user), 201, { location: '/profile' })
  })

  router.openapi({ ...authApi.signIn, request: { body: body(signInCheck) } }, async (c) => {
    const tokens = await signIn.login(c.req.valid('json'), clientOf(c), c.get('call'))
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
    await accounts.changePassword({ userId, ...c.req.valid('json') }, clientOf(c), c.get('call'))
    return respond(c, null, 204)
  })

  const keySet = jsonOf({ keys: publicKeys })
  router.openapi(authApi.listPublicKeys, (c) => respondWith(c, keySet, cacheControl.keySet))

  return router
}
