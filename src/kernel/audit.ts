import { setTimeout as sleep } from 'node:timers/promises'

/** Something that does not hold. */
export interface Finding {
  /** Stable, snake_case; docs/faults.md lists them. */
  code: string
  /** The id of the order or product. */
  subject: string
  message: string
  /**
   * Only where there is exactly one right answer: a compare-and-set on what was seen.
   * @returns what it did; undefined if what was seen is no longer so
   */
  repair?(): Promise<string | undefined>
  /** More is promised than there is: its repair, if there is one, comes before all others and waits for nobody. */
  oversells?: boolean
  /** The module that gets back what the repair gives up. It must be audited too, and not promise too much already. */
  releasesTo?: string
}

export interface Inspection {
  /** How many of what were looked at. */
  checked: Record<string, number>
  findings: Finding[]
  /** False if it stopped after `maxFindings`. */
  complete: boolean
}

/** One module's look at its own data, and at what other modules say of it through their ports. */
export interface Audit {
  /**
   * @param subjects look at these alone
   * @throws DomainError `dependency_unavailable` if it cannot see all that it has to see
   */
  inspect(subjects?: ReadonlySet<string>): Promise<Inspection>
}

/** Where a module has this many findings, it is looked at no further: the first ones say enough. */
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
  /** What was done about it. */
  repaired?: string
  /** Why nothing was, though it was asked for. */
  notRepaired?: string
}

export interface AuditReport {
  checked: Record<string, number>
  /** False if a module had so many findings that it was looked at no further: there may be more. */
  complete: boolean
  findings: ReportedFinding[]
}

/** A finding on its way to the report. */
interface Entry {
  module: AuditedModule
  finding: Finding
  reported: ReportedFinding
}

// A product that sells moves on between look and repair; one that sells this fast is left to the next audit.
const maxAttempts = 10

/**
 * Looks at all modules, those first that need the others. What a live system changes between two reads looks like a
 * fault; it only counts if it is found again later.
 *
 * Repairs that promise less come first. The others go from those who need a module to the module: what it holds for
 * others is set right only when those others have been looked at too, all of them, and nothing of theirs is left
 * unexplained, since it may be their due.
 * @param secondLookAfter milliseconds; as long as a request may take
 */
export async function runAudit(
  modules: readonly AuditedModule[],
  options: { repair: boolean; confirmAfterMs: number },
): Promise<AuditReport> {
  const report: AuditReport = { checked: {}, complete: true, findings: [] }
  const sorted = dependentsFirst(modules)
  const first: { module: AuditedModule; look: Inspection }[] = []
  for (const module of sorted) {
    const look = await module.audit.inspect()
    first.push({ module, look })
    Object.assign(report.checked, look.checked)
    report.complete &&= look.complete
  }
  if (first.every(({ look }) => look.findings.length === 0)) return report

  await sleep(options.confirmAfterMs)
  const entries: Entry[] = []
  for (const { module, look } of first) {
    for (const finding of await foundAgain(module.audit, look.findings)) {
      const { code, subject, message, repair } = finding
      const reported: ReportedFinding = {
        module: module.module,
        code,
        subject,
        message,
        repairable: repair !== undefined,
      }
      entries.push({ module, finding, reported })
      report.findings.push(reported)
    }
  }
  if (!options.repair) return report

  const promisingTooMuch = entries.filter(({ finding }) => finding.oversells)
  for (const entry of promisingTooMuch) await repair(entry)
  const stillDoes = (name: string) =>
    promisingTooMuch.some(({ module, reported }) => module.module === name && !reported.repaired)
  const isAudited = (name: string) =>
    first.some(({ module, look }) => module.module === name && look.complete)
  const unexplained = new Set<string>()
  for (const module of sorted) {
    const claimants = module.neededBy.filter((name) => unexplained.has(name) || !isAudited(name))
    for (const entry of entries) {
      const { oversells, releasesTo } = entry.finding
      if (entry.module !== module || oversells) continue
      const unready = releasesTo !== undefined && (stillDoes(releasesTo) || !isAudited(releasesTo))
      const waitsFor = unready ? [...claimants, releasesTo] : claimants
      if (waitsFor.length > 0 && entry.finding.repair) {
        entry.reported.notRepaired = `${waitsFor.join(', ')} comes first: it is not audited here to the end, or has findings left`
      } else await repair(entry)
    }
    const left = entries.some((entry) => entry.module === module && entry.reported.repaired === undefined)
    if (left) unexplained.add(module.module)
  }
  return report
}

const nameOf = ({ code, subject }: Finding) => `${code} ${subject}`

async function foundAgain(audit: Audit, findings: readonly Finding[]): Promise<Finding[]> {
  if (findings.length === 0) return []
  const seen = new Set(findings.map(nameOf))
  const again = await audit.inspect(new Set(findings.map(({ subject }) => subject)))
  return again.findings.filter((finding) => seen.has(nameOf(finding)))
}

/** What cannot be repaired is said of the finding: the report also has to tell what has been repaired before it. */
async function repair({ module, finding, reported }: Entry): Promise<void> {
  if (!finding.repair) {
    reported.notRepaired = 'there is more than one way to set this right'
    return
  }
  try {
    let now: Finding | undefined = finding
    for (let tries = 0; now && tries < maxAttempts; tries++) {
      const done = await now.repair?.()
      if (done !== undefined) {
        reported.repaired = done
        return
      }
      // It has moved on since it was seen, perhaps by a repair before this one.
      ;[now] = await foundAgain(module.audit, [finding])
    }
    if (now) reported.notRepaired = 'it changes too often just now'
    else reported.repaired = 'is right again'
  } catch (error) {
    reported.notRepaired = error instanceof Error ? error.message : String(error)
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
