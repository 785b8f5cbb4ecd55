import { authGuard } from '../../kernel/auth-guard.ts'
import { ConfigError } from '../../kernel/config.ts'
import { isDomainError } from '../../kernel/errors.ts'
import { defineModule } from '../../kernel/module.ts'
import { authApi } from './auth.api.ts'
import { authRoutes } from './auth.routes.ts'
import { createAuthService } from './auth.service.ts'
import type { AuthPort } from './contract.ts'
import { demoAdmin } from './demo-admin.ts'
import { connectAuth } from './http.ts'
import { createPasswords } from './passwords.ts'
import { authSettings } from './settings.ts'
import { developmentKeys, publicKeyOf } from './signing-keys.ts'
import { createTokenIssuer } from './tokens.ts'
import { authMigrations, createUserRepository } from './user.repository.ts'

export const auth = defineModule({
  name: 'auth',
  api: authApi,
  settings: authSettings,
  migrations: authMigrations,
  needs: {},
  async start({ database, settings, config, logger }) {
    const privateKeys = settings.JWT_PRIVATE_KEYS ?? (await developmentKeys(config.dataDir))
    const publicKeys = privateKeys.map(publicKeyOf)
    const port: AuthPort = { publicKeys: async () => publicKeys }
    const service = createAuthService({
      users: createUserRepository(database),
      passwords: createPasswords(settings.BCRYPT_COST),
      tokens: createTokenIssuer({
        key: privateKeys[0],
        issuer: config.issuer,
        lifetime: Math.floor(settings.ACCESS_TOKEN_TTL / 1000),
      }),
    })
    const guard = authGuard({ keys: port.publicKeys, issuer: config.issuer, logger })

    return {
      routes: authRoutes(service, publicKeys, guard),
      port,
      async prepare(call) {
        const { ADMIN_USERNAME: username, ADMIN_EMAIL: email, ADMIN_PASSWORD: password } = settings
        if (username && email && password) {
          const role = await service
            .ensureAdmin({ username, email, password }, call)
            .catch((error: unknown) => {
              if (!isDomainError(error, 'email_taken')) throw error
              throw new ConfigError([`ADMIN_EMAIL ${email} belongs to an account with another username`])
            })
          if (role !== 'admin')
            logger.error({ username }, 'ADMIN_USERNAME names an account that is not an admin')
          return []
        }
        if (!config.demo) return []
        const admin = await demoAdmin(config.dataDir)
        if (await service.isEmpty(call)) await service.ensureAdmin(admin, call)
        else if (!(await service.isRight(admin, call))) return []
        return [`Admin      ${admin.username} / ${admin.password}   (demo; ${admin.email})`]
      },
    }
  },
  connect: connectAuth,
})
