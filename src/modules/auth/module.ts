import { ConfigError } from '#kernel/config/config-error.ts'
import type { Rate } from '#kernel/config/values.ts'

import { isDomainError } from '#kernel/errors.ts'
import { authGuard } from '#kernel/http/auth-guard.ts'
import { createClientOf } from '#kernel/http/client-address.ts'
import { defineModule } from '#kernel/module.ts'
import { adminCommands } from './admin-commands.ts'
import { authApi } from './auth.api.ts'
import { authRoutes } from './auth.routes.ts'
import { createAuthService } from './auth.service.ts'
import type { AuthPort } from './contract.ts'
import { demoAdmin } from './demo-admin.ts'
import { connectAuth } from './http.ts'
import { authMigrations } from './migrations.ts'
import { requireDictionaries } from './passwords/find-weakness.ts'
import { createPasswords } from './passwords/hashing.ts'
import { authProblems } from './problems.ts'
import { securityLog } from './security-events.ts'
import { createTokenIssuer } from './sessions/access-tokens.ts'
import { createRefreshFamilyRepository } from './sessions/refresh-family.repository.ts'
import { createRefreshTokens } from './sessions/refresh-tokens.ts'
import { developmentKeys, publicKeyOf } from './sessions/signing-keys.ts'
import { authSettings } from './settings.ts'
import { createCounterRepository } from './throttling/counter.repository.ts'
import { createKnownClientRepository } from './throttling/known-client.repository.ts'
import type { Limit } from './throttling/throttle.ts'
import { createUserRepository } from './user.repository.ts'

export const auth = defineModule({
  name: 'auth',
  api: authApi,
  problems: authProblems,
  settings: authSettings,
  migrations: authMigrations,
  needs: {},
  async start({ database, settings, config, logger }) {
    requireDictionaries()
    const privateKeys = settings.JWT_PRIVATE_KEYS ?? (await developmentKeys(config.dataDir))
    const publicKeys = privateKeys.map(publicKeyOf)
    const port: AuthPort = { publicKeys: async () => publicKeys }
    const limit = (name: string, of: string, rate: Rate): Limit => ({
      rate,
      of,
      counts: createCounterRepository(database, name, rate),
      strikes: createCounterRepository(database, `${name}-strikes`, rate),
    })
    const perAccount = settings.LOGIN_FAILURES_PER_ACCOUNT
    const service = createAuthService({
      users: createUserRepository(database),
      passwords: createPasswords({ cost: settings.BCRYPT_COST, threads: settings.UV_THREADPOOL_SIZE }),
      tokens: createTokenIssuer({
        key: privateKeys[0],
        issuer: config.issuer,
        lifetime: Math.floor(settings.ACCESS_TOKEN_TTL / 1000),
      }),
      refreshTokens: createRefreshTokens({
        families: createRefreshFamilyRepository(database),
        lifetime: settings.REFRESH_TOKEN_TTL,
      }),
      knownClients: createKnownClientRepository(database),
      limits: {
        failuresOfAccount: limit('login-account', 'failed attempts for this account', perAccount),
        failuresOfAddress: limit(
          'login-address',
          'failed attempts from this address',
          settings.LOGIN_FAILURES_PER_ADDRESS,
        ),
        failuresOfKnownClient: limit('login-client', 'failed attempts for this account', perAccount),
        registrationsOfName: limit(
          'register-name',
          'registrations of this name',
          settings.REGISTRATIONS_PER_ADDRESS,
        ),
        registrationsOfAddress: limit(
          'register-address',
          'registrations from this address',
          settings.REGISTRATIONS_PER_ADDRESS,
        ),
      },
      record: securityLog(logger),
    })
    const guard = authGuard({ keys: port.publicKeys, issuer: config.issuer, logger })

    return {
      routes: authRoutes({
        service,
        keys: publicKeys,
        guard,
        clientOf: createClientOf(config.trustedProxies, (peer) =>
          logger.warn({ peer }, 'X-Forwarded-For is ignored: TRUSTED_PROXIES does not name who sent it'),
        ),
      }),
      port,
      commands: adminCommands(service),
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
        else if (!(await service.isAdmin(admin, call))) return []
        return [`Admin      ${admin.username} / ${admin.password}   (demo; ${admin.email})`]
      },
    }
  },
  connect: connectAuth,
})
