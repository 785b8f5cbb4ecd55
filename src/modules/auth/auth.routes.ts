import type { Guard, PublicKey } from '../../kernel/auth-guard.ts'
import { createRouter } from '../../kernel/router.ts'
import { authApi } from './auth.api.ts'
import type { AuthService } from './auth.service.ts'
import type { User } from './user.repository.ts'

export function authRoutes(service: AuthService, keys: PublicKey[], guard: Guard) {
  const router = createRouter()

  router.openapi(authApi.register, async (c) => {
    const user = await service.register(c.req.valid('json'), c.get('call'))
    c.header('Location', '/profile')
    return c.json(representation(user), 201)
  })

  router.openapi(authApi.login, async (c) => {
    const tokens = await service.login(c.req.valid('json'), c.get('call'))
    c.header('Cache-Control', 'no-store')
    return c.json(tokens, 200)
  })

  router.openapi({ ...authApi.profile, middleware: guard('customer') }, async (c) => {
    const user = await service.profile(c.get('principal').userId, c.get('call'))
    return c.json(representation(user), 200)
  })

  router.openapi(authApi.keys, (c) => c.json({ keys }, 200))

  return router
}

const representation = ({ userId, username, email, role, createdAt }: User) => ({
  userId,
  username,
  email,
  role,
  createdAt: createdAt.toISOString(),
})
