import { authGuard } from '#kernel/http/auth-guard.ts'
import { createClientOf } from '#kernel/http/client-address.ts'
import { defineModule } from '#kernel/module.ts'
import { createAccounts } from './accounts.ts'
import { createAdminAccounts } from './admin-accounts.ts'
import { adminCommands } from './admin-commands.ts'
import { authApi } from './auth.api.ts'
import { authRoutes } from './auth.routes.ts'
import type { AuthPort } from './contract.ts'
import { connectAuth } from './http.ts'
import { authMigrations } from './migrations.ts'
import { createPasswordCheck } from './password-check.ts'
import { requireDictionaries } from './passwords/find-weakness.ts'
import { createPasswords } from './passwords/hashing.ts'
import { demoAdminFacts, prepareAccounts } from './prepare-accounts.ts'
import { authProblems } from './problems.ts'
import { securityLog } from './security-events.ts'
import { createTokenIssuer } from './sessions/access-token-issuer.ts'
import { createRefreshFamilyRepository } from './sessions/refresh-family.repository.ts'
import { createRefreshTokens } from './sessions/refresh-tokens.ts'
import { developmentKeys, publicKeyOf } from './sessions/signing-keys.ts'
import { adminOf, authSettings, misnamedAuthSettings } from './settings.ts'
import { createSignIn } from './sign-in.ts'
import { createKnownClientRepository } from './throttling/known-client.repository.ts'
import { createLimits } from './throttling/limits.ts'
import { createUserRepository } from './user.repository.ts'

export const auth = defineModule({
  name: 'auth',
  api: authApi,
  // The queue of password hashes refuses requests itself. The other services read the keys.
  alwaysAdmitted: [authApi.registerAccount, authApi.signIn, authApi.changePassword, authApi.listPublicKeys],
  problems: authProblems,
  settings: authSettings,
  misnamedSettings: misnamedAuthSettings,
  commands: adminCommands,
  migrations: authMigrations,
  needs: {},
  async start({ database, settings, config, logger, metrics }) {
    requireDictionaries()
    const privateKeys = settings.JWT_PRIVATE_KEYS ?? (await developmentKeys(config.dataDir))
    const publicKeys = privateKeys.map(publicKeyOf)
    const port: AuthPort = { publicKeys: async () => publicKeys }

    const users = createUserRepository(database)
    const knownClients = createKnownClientRepository(database)
    const record = securityLog(logger, metrics)
    const passwords = createPasswords({
      cost: settings.BCRYPT_COST,
      threads: settings.UV_THREADPOOL_SIZE,
      metrics,
    })
    const limits = createLimits(database, {
      failuresPerAccount: settings.LOGIN_FAILURES_PER_ACCOUNT,
      failuresPerAddress: settings.LOGIN_FAILURES_PER_ADDRESS,
      registrationsPerAddress: settings.REGISTRATIONS_PER_ADDRESS,
    })
    const checkPassword = createPasswordCheck({ passwords, knownClients, limits, record })
    const tokens = createTokenIssuer({
      key: privateKeys[0],
      issuer: config.issuer,
      lifetimeSeconds: Math.floor(settings.ACCESS_TOKEN_TTL / 1_000),
    })
    const refreshTokens = createRefreshTokens({
      families: createRefreshFamilyRepository(database),
      lifetimeMs: settings.REFRESH_TOKEN_TTL,
    })
    const adminAccounts = createAdminAccounts({ users, passwords, record })
    const boot = { accounts: adminAccounts, settingsAdmin: adminOf(settings), config, logger }

    return {
      routes: authRoutes({
        limits,
        accounts: createAccounts({ users, passwords, checkPassword, limits, record }),
        signIn: createSignIn({
          users,
          passwords,
          checkPassword,
          tokens,
          refreshTokens,
          knownClients,
          record,
        }),
        publicKeys,
        guard: authGuard({ keys: port.publicKeys, issuer: config.issuer, logger }),
        clientOf: createClientOf(config.trustedProxies, (peer) =>
          logger.warn({ peer }, 'X-Forwarded-For is ignored: TRUSTED_PROXIES does not list the sender'),
        ),
      }),
      port,
      operations: adminAccounts,
      prepare: (call) => prepareAccounts(boot, call),
      bannerFacts: (call) => demoAdminFacts(boot, call),
    }
  },
  connect: connectAuth,
})
