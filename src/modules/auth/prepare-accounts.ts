import type { Call } from '#kernel/call.ts'
import { ConfigError } from '#kernel/config/config-error.ts'
import { isDomainError } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { BannerFact } from '#kernel/module.ts'
import type { Registration } from './accounts.ts'
import type { AdminAccounts } from './admin-accounts.ts'
import { demoAdmin, demoCustomer } from './demo-accounts.ts'

/**
 * Creates the admin account that the settings name. The first boot of a demo also creates the demo's customer and, if the
 * settings name no admin, its admin.
 * @param settingsAdmin undefined if the settings name no admin
 * @returns lines for the operator: the name and password of the demo's admin
 * @throws ConfigError if the e-mail address belongs to another account
 */
export async function prepareAccounts(
  options: {
    accounts: AdminAccounts
    settingsAdmin: Registration | undefined
    config: { demo: boolean; dataDir: string }
    logger: Logger
  },
  call: Call,
): Promise<BannerFact[]> {
  const { accounts, settingsAdmin, config, logger } = options
  const isNewDemo = config.demo && (await accounts.isEmpty(call))
  if (isNewDemo) await accounts.create(demoCustomer, 'customer', call)
  if (settingsAdmin) {
    await ensureSettingsAdmin(accounts, settingsAdmin, logger, call)
    return []
  }
  if (!config.demo) return []
  const admin = await demoAdmin(config.dataDir)
  if (isNewDemo) await accounts.create(admin, 'admin', call)
  else if (!(await accounts.isAdmin(admin, call))) return []
  return [['Admin', `${admin.username} / ${admin.password}   (demo; ${admin.email})`]]
}

async function ensureSettingsAdmin(
  accounts: AdminAccounts,
  admin: Registration,
  logger: Logger,
  call: Call,
): Promise<void> {
  const role = await accounts.ensureAdmin(admin, call).catch((error: unknown) => {
    if (!isDomainError(error, 'email_taken')) throw error
    throw new ConfigError([`ADMIN_EMAIL ${admin.email} belongs to an account with another username`])
  })
  if (role !== 'admin') {
    logger.error({ username: admin.username }, 'ADMIN_USERNAME names an account that is not an admin')
  }
}
