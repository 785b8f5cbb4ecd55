import type { Guard } from '#kernel/http/auth-guard.ts'
import type { ClientOf } from '#kernel/http/client-address.ts'
import { respond, respondJson } from '#kernel/http/respond.ts'
import { createRouter } from '#kernel/http/router.ts'
import type { PublicKey } from '#kernel/public-key.ts'
import { authApi } from './auth.api.ts'
import type { AuthService } from './auth.service.ts'
import type { User } from './user.ts'

/** What is in it is for who asked alone. */
const notStored = { 'cache-control': 'no-store' }

export function authRoutes(options: {
  service: AuthService
  keys: PublicKey[]
  guard: Guard
  clientOf: ClientOf
}) {
  const { service, keys, guard, clientOf } = options
  const router = createRouter()
  const middleware = guard('customer')

  router.openapi(authApi.register, async (c) => {
    const user = await service.register(c.req.valid('json'), clientOf(c), c.get('call'))
    return respondJson(c, representation(user), 201, { ...notStored, location: '/profile' })
  })

  router.openapi(authApi.login, async (c) => {
    const tokens = await service.login(c.req.valid('json'), clientOf(c), c.get('call'))
    return respondJson(c, tokens, 200, notStored)
  })

  router.openapi(authApi.refresh, async (c) => {
    const tokens = await service.refresh(c.req.valid('json').refreshToken, clientOf(c), c.get('call'))
    return respondJson(c, tokens, 200, notStored)
  })

  router.openapi(authApi.logout, async (c) => {
    await service.logout(c.req.valid('json').refreshToken, clientOf(c), c.get('call'))
    return respond(c, null, 204)
  })

  router.openapi({ ...authApi.profile, middleware }, async (c) => {
    const user = await service.profile(c.get('principal').userId, c.get('call'))
    return respondJson(c, representation(user), 200)
  })

  router.openapi({ ...authApi.changePassword, middleware }, async (c) => {
    const { userId } = c.get('principal')
    await service.changePassword({ userId, ...c.req.valid('json') }, clientOf(c), c.get('call'))
    return respond(c, null, 204)
  })

  router.openapi(authApi.keys, (c) => respondJson(c, { keys }, 200))

  return router
}

const representation = ({ userId, username, email, role, createdAt }: User) => ({
  userId,
  username,
  email,
  role,
  createdAt: createdAt.toISOString(),
})
