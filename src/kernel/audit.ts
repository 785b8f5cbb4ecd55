import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from './errors.ts'

/** A fault in the stored data. */
export interface Finding {
  /** A stable name in snake_case. docs/faults.md lists all codes. */
  code: string
  /** The id of the order or product. */
  subject: string
  message: string
  /**
   * Exists only if exactly one repair is right. It is a compare-and-set on the data that the audit has seen.
   * @returns a description of the change, or undefined if the data has changed since the inspection
   */
  repair?(): Promise<string | undefined>
  /**
   * Whether the module has promised more than it has. The repair of such a finding comes before all others, and does
   * not depend on other modules.
   */
  oversells?: boolean
  /**
   * The module to which the repair returns what the finding holds. That module must be audited too, and must not
   * oversell.
   */
  releasesTo?: string
}

export interface Inspection {
  /** The number of documents that were checked, by kind. */
  checked: Record<string, number>
  findings: Finding[]
  /** False if it stopped after `maxFindings`. */
  complete: boolean
}

/** A module's check of its own data, and of what other modules say about that data through their ports. */
export interface Audit {
  /**
   * @param subjects the ids to which the inspection is limited
   * @throws DomainError `dependency_unavailable` if it cannot read all the data that it needs
   */
  inspect(subjects?: ReadonlySet<string>): Promise<Inspection>
}

/** The number of findings after which the inspection of a module stops. */
export const maxFindings = 1_000

/** A module with an audit, and the names of the modules that need it. */
export interface AuditedModule {
  module: string
  neededBy: readonly string[]
  audit: Audit
}

export interface ReportedFinding extends Pick<Finding, 'code' | 'subject' | 'message'> {
  module: string
  repairable: boolean
  /** What the repair did. */
  repaired?: string
  /** The reason why a requested repair was not made. */
  notRepaired?: string
}

export interface AuditReport {
  checked: Record<string, number>
  /** False if the inspection of a module stopped early: there may be more findings. */
  complete: boolean
  findings: ReportedFinding[]
}

interface InspectedModule {
  module: AuditedModule
  inspection: Inspection
}

/** A finding that the second inspection has confirmed. */
interface Entry {
  module: AuditedModule
  finding: Finding
  reported: ReportedFinding
}

// A repair fails if the data changes after the inspection, as with a product that sells fast. After this number of
// attempts the finding is left to the next audit.
const maxAttempts = 10

/**
 * Audits all modules. A change of a live system between two reads looks like a fault, so a finding counts only if a second
 * inspection finds it again.
 * @param options.confirmAfterMs the time until the second inspection: as long as a request may take
 */
export async function runAudit(
  modules: readonly AuditedModule[],
  options: { repair: boolean; confirmAfterMs: number },
): Promise<AuditReport> {
  const report: AuditReport = { checked: {}, complete: true, findings: [] }
  const inspected: InspectedModule[] = []
  for (const module of dependentsFirst(modules)) {
    const inspection = await module.audit.inspect()
    inspected.push({ module, inspection })
    Object.assign(report.checked, inspection.checked)
    report.complete &&= inspection.complete
  }
  if (inspected.every(({ inspection }) => inspection.findings.length === 0)) return report

  await sleep(options.confirmAfterMs)
  const entries = await confirmFindings(inspected)
  report.findings = entries.map(({ reported }) => reported)
  if (options.repair) await repairAll(inspected, entries)
  return report
}

async function confirmFindings(inspected: readonly InspectedModule[]): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const { module, inspection } of inspected) {
    for (const finding of await findAgain(module.audit, inspection.findings)) {
      const { code, subject, message, repair } = finding
      const repairable = repair !== undefined
      entries.push({
        module,
        finding,
        reported: { module: module.module, code, subject, message, repairable },
      })
    }
  }
  return entries
}

/**
 * Repairs overselling first, and then each module after its dependents, which are the modules that need it. A module is
 * repaired only if all its dependents were audited completely and have no findings left, because a finding of a
 * dependent may explain one of the module.
 */
async function repairAll(inspected: readonly InspectedModule[], entries: readonly Entry[]): Promise<void> {
  const overselling = entries.filter(({ finding }) => finding.oversells)
  for (const entry of overselling) await repair(entry)
  const stillOversells = (name: string) =>
    overselling.some(({ module, reported }) => module.module === name && !reported.repaired)
  const isAudited = (name: string) =>
    inspected.some(({ module, inspection }) => module.module === name && inspection.complete)
  const withFindings = new Set<string>()
  for (const { module } of inspected) {
    const openDependents = module.neededBy.filter((name) => withFindings.has(name) || !isAudited(name))
    for (const entry of entries) {
      const { oversells, releasesTo } = entry.finding
      if (entry.module !== module || oversells) continue
      const isReleaseUnsafe =
        releasesTo !== undefined && (stillOversells(releasesTo) || !isAudited(releasesTo))
      const blockers = isReleaseUnsafe ? [...openDependents, releasesTo] : openDependents
      if (blockers.length > 0 && entry.finding.repair) {
        entry.reported.notRepaired = `${blockers.join(', ')} must first be audited completely and have no findings left`
      } else await repair(entry)
    }
    const isOpen = entries.some((entry) => entry.module === module && entry.reported.repaired === undefined)
    if (isOpen) withFindings.add(module.module)
  }
}

const nameOf = ({ code, subject }: Finding) => `${code} ${subject}`

async function findAgain(audit: Audit, findings: readonly Finding[]): Promise<Finding[]> {
  if (findings.length === 0) return []
  const seen = new Set(findings.map(nameOf))
  const again = await audit.inspect(new Set(findings.map(({ subject }) => subject)))
  return again.findings.filter((finding) => seen.has(nameOf(finding)))
}

/** Records a failure in the report instead of throwing it, because the report must also contain the earlier repairs. */
async function repair({ module, finding, reported }: Entry): Promise<void> {
  if (!finding.repair) {
    reported.notRepaired = 'more than one repair is possible'
    return
  }
  try {
    let current: Finding | undefined = finding
    for (let attempts = 0; current && attempts < maxAttempts; attempts++) {
      const done = await current.repair?.()
      if (done !== undefined) {
        reported.repaired = done
        return
      }
      // The data has changed since the inspection, perhaps by an earlier repair.
      ;[current] = await findAgain(module.audit, [finding])
    }
    if (current) reported.notRepaired = 'it changes too often at the moment'
    else reported.repaired = 'is correct again'
  } catch (error) {
    reported.notRepaired = messageOf(error)
  }
}

function dependentsFirst(modules: readonly AuditedModule[]): AuditedModule[] {
  const left = [...modules]
  const sorted: AuditedModule[] = []
  while (left.length > 0) {
    const next = left.findIndex(({ neededBy }) => !left.some(({ module }) => neededBy.includes(module)))
    sorted.push(...left.splice(Math.max(next, 0), 1))
  }
  return sorted
}
