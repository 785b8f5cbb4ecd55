import { type GeneralSettings, urlVariable } from './general-settings.ts'

/** The internal secret of a development environment that sets none. */
export const developmentInternalSecret = 'development-only-internal-secret'

/** The words that examples use in place of a secret. */
const placeholder =
  /change.?(me|this|it)|replace.?(me|this|it|with)|(your|my).?(own.?)?(internal.?)?secret|placeholder/i

/** What a module needs from other modules, and where they run. */
export interface NeedsContext {
  hosted: readonly string[]
  urls: Readonly<Record<string, string>>
  isMissing(variable: string): boolean
}

interface ModuleWithNeeds {
  name: string
  needs: Readonly<Record<string, unknown>>
}

/** @returns a fault for each needed module that is neither hosted nor has a URL */
export function needFaults(module: ModuleWithNeeds, { hosted, urls, isMissing }: NeedsContext): string[] {
  const missing = Object.keys(module.needs).filter(
    (need) => !hosted.includes(need) && urls[need] === undefined && isMissing(urlVariable(need)),
  )
  return missing.map(
    (need) => `${module.name} needs ${need}: set ${urlVariable(need)} or host ${need} (SERVICE)`,
  )
}

/** @returns a fault for each setting that is valid and unsafe in production */
export function productionFaults(
  { INTERNAL_SECRET, DEMO }: Partial<GeneralSettings>,
  { isMissing, hasRemoteNeeds }: Pick<NeedsContext, 'isMissing'> & { hasRemoteNeeds: boolean },
): string[] {
  const faults: string[] = []
  if (isMissing('MONGODB_URI')) {
    faults.push('MONGODB_URI is required when NODE_ENV=production: the embedded MongoDB is for development')
  }
  if (hasRemoteNeeds && isMissing('INTERNAL_SECRET')) {
    faults.push('INTERNAL_SECRET is required when NODE_ENV=production and a needed module is remote')
  }
  if (INTERNAL_SECRET?.includes(developmentInternalSecret)) {
    faults.push('INTERNAL_SECRET must not be the development value when NODE_ENV=production')
  }
  if (INTERNAL_SECRET?.some((secret) => placeholder.test(secret))) {
    faults.push(
      'INTERNAL_SECRET must not be a placeholder when NODE_ENV=production: `openssl rand -base64 32` creates a secret',
    )
  }
  if (DEMO) {
    faults.push(
      'DEMO must not be true when NODE_ENV=production: it creates an admin account and prints its password',
    )
  }
  return faults
}
