import { setTimeout as sleep } from 'node:timers/promises'

/** Something that does not hold. */
export interface Finding {
  /** Stable, snake_case; README lists them. */
  code: string
  /** The id of the order or product. */
  subject: string
  message: string
  /**
   * Only where there is exactly one right answer: a compare-and-set on what was seen.
   * @returns what it did; undefined if what was seen is no longer so
   */
  repair?(): Promise<string | undefined>
}

export interface Look {
  /** How many of what were looked at. */
  checked: Record<string, number>
  findings: Finding[]
}

/** One module's look at its own data, and at what other modules say of it through their ports. */
export interface Audit {
  /**
   * @param subjects look at these alone
   * @throws DomainError `dependency_unavailable` if it cannot see all that it has to see
   */
  look(subjects?: ReadonlySet<string>): Promise<Look>
}

/** Where a module has more findings than this, it is looked at no further: the first ones say enough. */
export const mostFindings = 1_000

/** A module with an audit, and the names of the modules that need it. */
export interface AuditedModule {
  module: string
  neededBy: readonly string[]
  audit: Audit
}

export interface ReportedFinding extends Omit<Finding, 'repair'> {
  module: string
  repairable: boolean
  /** What was done about it. */
  repaired?: string
  /** Why nothing was, though it was asked for. */
  notRepaired?: string
}

export interface AuditReport {
  checked: Record<string, number>
  findings: ReportedFinding[]
}

/**
 * Looks at all modules, those first that need the others. What a live system changes between two reads looks like a
 * fault; it only counts if it is found again later.
 *
 * Repairs go the same way: what a module holds for others is set right only when those others have been looked at too
 * and nothing of theirs is left unexplained, since it may be their due.
 * @param secondLookAfter milliseconds; as long as a request may take
 */
export async function runAudit(
  modules: readonly AuditedModule[],
  options: { repair: boolean; secondLookAfter: number },
): Promise<AuditReport> {
  const report: AuditReport = { checked: {}, findings: [] }
  const first: { module: AuditedModule; look: Look }[] = []
  for (const module of dependentsFirst(modules)) {
    const look = await module.audit.look()
    first.push({ module, look })
    Object.assign(report.checked, look.checked)
  }
  if (first.every(({ look }) => look.findings.length === 0)) return report

  await sleep(options.secondLookAfter)
  const unexplained = new Set<string>()
  for (const { module, look } of first) {
    // Now rather than then: what has been repaired of the modules before shows in this one.
    const findings = await confirmed(module.audit, look)
    const waitsFor = module.neededBy.filter(
      (name) => unexplained.has(name) || !modules.some((other) => other.module === name),
    )
    for (const finding of findings) {
      const { code, subject, message, repair } = finding
      const reported: ReportedFinding = {
        module: module.module,
        code,
        subject,
        message,
        repairable: repair !== undefined,
      }
      if (options.repair) Object.assign(reported, await repaired(finding, waitsFor))
      if (reported.repaired === undefined) unexplained.add(module.module)
      report.findings.push(reported)
    }
  }
  return report
}

async function confirmed(audit: Audit, { findings }: Look): Promise<Finding[]> {
  if (findings.length === 0) return []
  const nameOf = ({ code, subject }: Finding) => `${code} ${subject}`
  const seen = new Set(findings.map(nameOf))
  const again = await audit.look(new Set(findings.map(({ subject }) => subject)))
  return again.findings.filter((finding) => seen.has(nameOf(finding)))
}

async function repaired(
  { repair }: Finding,
  waitsFor: readonly string[],
): Promise<Pick<ReportedFinding, 'repaired' | 'notRepaired'>> {
  if (!repair) return { notRepaired: 'there is more than one way to set this right' }
  if (waitsFor.length > 0) {
    return { notRepaired: `${waitsFor.join(', ')} comes first: it is not audited here, or has findings left` }
  }
  const done = await repair.call(undefined)
  return done === undefined ? { notRepaired: 'it has changed since it was seen' } : { repaired: done }
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
