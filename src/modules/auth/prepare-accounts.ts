import type { Call } from '#kernel/call.ts'
import { ConfigError } from '#kernel/config/config-error.ts'
import { isDomainError } from '#kernel/errors.ts'
import type { Logger } from '#kernel/logger.ts'
import type { BannerFact } from '#kernel/module.ts'
import type { Registration } from './accounts.ts'
import type { AdminAccounts } from './admin-accounts.ts'
import { demoAdmin, demoCustomer } from './demo-accounts.ts'

interface Options {
  accounts: AdminAccounts
  /** Undefined if the settings name no admin. */
  settingsAdmin: Registration | undefined
  config: { demo: boolean; dataDir: string }
  logger: Logger
}

/**
 * Creates the admin account that the settings name. In a store with no other accounts, a demo also gets the demo's customer and, if
 * the settings name no admin, its admin. So the next boot completes a first one that ended between two accounts.
 * @throws ConfigError if the e-mail address belongs to another account
 */
export async function prepareAccounts(options: Options, call: Call): Promise<void> {
  const { accounts, settingsAdmin, config, logger } = options
  const admin = settingsAdmin ?? (config.demo ? await demoAdmin(config.dataDir) : undefined)
  if (!admin) return
  const usernames = [admin.username, demoCustomer.username]
  const isNewDemo = config.demo && !(await accounts.hasOthers(usernames, call))
  // The admin is first, so that the settings may give it the username of the demo's customer.
  if (settingsAdmin) await ensureSettingsAdmin(accounts, settingsAdmin, logger, call)
  else if (isNewDemo) await accounts.ensure(admin, 'admin', call)
  if (isNewDemo) await ensureDemoCustomer(accounts, call)
}

/** Returns the name and the password of the demo's admin, as long as the account is an admin and has this password. */
export async function demoAdminFacts(
  { accounts, settingsAdmin, config }: Options,
  call: Call,
): Promise<BannerFact[]> {
  if (settingsAdmin || !config.demo) return []
  const admin = await demoAdmin(config.dataDir)
  if (!(await accounts.isAdmin(admin, call))) return []
  return [['Admin', `${admin.username} / ${admin.password}   (demo; ${admin.email})`]]
}

/** The settings may have given the customer's e-mail address to the admin. */
async function ensureDemoCustomer(accounts: AdminAccounts, call: Call): Promise<void> {
  try {
    await accounts.ensure(demoCustomer, 'customer', call)
  } catch (error) {
    if (!isDomainError(error, 'email_taken')) throw error
  }
}

async function ensureSettingsAdmin(
  accounts: AdminAccounts,
  admin: Registration,
  logger: Logger,
  call: Call,
): Promise<void> {
  const role = await accounts.ensure(admin, 'admin', call).catch((error: unknown) => {
    if (!isDomainError(error, 'email_taken')) throw error
    throw new ConfigError([`ADMIN_EMAIL ${admin.email} belongs to an account with another username`])
  })
  if (role !== 'admin') {
    logger.error({ username: admin.username }, 'ADMIN_USERNAME names an account that is not an admin')
  }
}
