import { describe, expect, it } from 'vitest'
import { type AuditedModule, type Finding, runAudit } from './audit.ts'

/** A module whose inspections have these findings, one list after the other. The last list is repeated. */
const found = (module: string, neededBy: string[], ...inspections: Finding[][]) =>
  inspecting(module, neededBy, true, inspections)

function inspecting(module: string, neededBy: string[], complete: boolean, inspections: Finding[][]) {
  const inspected: (ReadonlySet<string> | undefined)[] = []
  const audited: AuditedModule = {
    module,
    neededBy,
    audit: {
      async inspect(subjects) {
        inspected.push(subjects)
        const findings = inspections[Math.min(inspected.length, inspections.length) - 1] ?? []
        return { checked: { [module]: 7 }, complete, findings }
      },
    },
  }
  return { audited, inspected }
}

const fault = (subject: string, repair?: Finding['repair']): Finding => ({
  code: 'off',
  subject,
  message: 'is off',
  ...(repair && { repair }),
})
const run = (modules: AuditedModule[], repair = false) => runAudit(modules, { repair, confirmAfterMs: 0 })

describe('an audit', () => {
  it('an audit inspects once if there are no findings', async () => {
    const { audited, inspected } = found('cups', [], [])
    expect(await run([audited])).toEqual({ checked: { cups: 7 }, complete: true, findings: [] })
    expect(inspected).toEqual([undefined])
  })

  it('an audit reports the findings that a second inspection of the same subjects confirms, and no new ones', async () => {
    const { audited, inspected } = found('cups', [], [fault('a'), fault('b')], [fault('b'), fault('c')])
    const { findings } = await run([audited])
    expect(findings).toEqual([
      { module: 'cups', code: 'off', subject: 'b', message: 'is off', repairable: false },
    ])
    expect(inspected).toEqual([undefined, new Set(['a', 'b'])])
  })

  it('an audit waits before the second inspection', async () => {
    const { audited } = found('cups', [], [fault('a')], [])
    const started = performance.now()
    await runAudit([audited], { repair: false, confirmAfterMs: 50 })
    expect(performance.now() - started).toBeGreaterThanOrEqual(45)
  })
})

describe('an audit that stopped at too many findings', () => {
  it('an audit that stopped at too many findings is reported as incomplete, even if no finding was confirmed', async () => {
    const { audited } = inspecting('cups', [], false, [[fault('a')], []])
    expect(await run([audited])).toMatchObject({ complete: false, findings: [] })
  })
})

describe('a repair', () => {
  const repairing = (log: string[], subject: string, outcome: string | undefined = 'done') =>
    fault(subject, async () => {
      log.push(subject)
      return outcome
    })

  it('an audit repairs only on request', async () => {
    const log: string[] = []
    const { findings } = await run([found('cups', [], [repairing(log, 'a')]).audited])
    expect(log).toEqual([])
    expect(findings).toMatchObject([{ subject: 'a', repairable: true }])
    expect(findings[0]).not.toHaveProperty('notRepaired')
  })

  it('a finding reports its repair', async () => {
    const log: string[] = []
    const { findings } = await run([found('cups', [], [repairing(log, 'a')]).audited], true)
    expect(findings).toMatchObject([{ repaired: 'done' }])
  })

  it('a repair is repeated after the data has changed, and is given up if the data keeps changing', async () => {
    let attempts = 0
    const moving = fault('a', async () => {
      attempts += 1
      return attempts === 3 ? 'done at last' : undefined
    })
    const never = fault('b', async () => undefined)
    const [first] = (await run([found('cups', [], [moving]).audited], true)).findings
    expect(first).toMatchObject({ repaired: 'done at last' })
    const [second] = (await run([found('cups', [], [never]).audited], true)).findings
    expect(second).toMatchObject({ notRepaired: 'it changes too often at the moment' })
    const [third] = (await run([found('cups', [], [never], [never], []).audited], true)).findings
    expect(third).toMatchObject({ repaired: 'is correct again' })
  })

  it('a finding reports the failure of its repair, and the audit continues with the other findings', async () => {
    const log: string[] = []
    const failing = fault('b', async () => {
      throw new Error('cups are not available')
    })
    const cups = found('cups', [], [repairing(log, 'a'), failing, repairing(log, 'c')])
    expect((await run([cups.audited], true)).findings).toMatchObject([
      { repaired: 'done' },
      { notRepaired: 'cups are not available' },
      { repaired: 'done' },
    ])
  })

  it('a repair of overselling comes before all others, and does not wait for another module', async () => {
    const log: string[] = []
    const less = { ...repairing(log, 'too many cups'), oversells: true }
    const cups = found('cups', ['orders'], [less, repairing(log, 'too few cups')])
    const orders = found('orders', [], [repairing(log, 'order'), fault('b')])
    await run([cups.audited, orders.audited], true)
    expect(log).toEqual(['too many cups', 'order'])
  })

  it.each([
    ['still oversells', [found('cups', [], [{ ...fault('cup'), oversells: true }]).audited]],
    ['was not audited completely', [inspecting('cups', [], false, [[]]).audited]],
    ['is not audited', []],
  ])(
    'a repair that releases something to another module is not made if that module %s',
    async (_, others) => {
      const log: string[] = []
      const giving = { ...repairing(log, 'order'), releasesTo: 'cups' }
      const orders = found('orders', [], [giving])
      const { findings } = await run([...others, orders.audited], true)
      expect(log).toEqual([])
      expect(findings.find(({ module }) => module === 'orders')).toMatchObject({
        notRepaired: expect.stringMatching(/^cups /),
      })
    },
  )

  it('a module is repaired after the modules that need it', async () => {
    const log: string[] = []
    const cups = found('cups', ['orders'], [repairing(log, 'cup')])
    const orders = found('orders', [], [repairing(log, 'order')])
    const { findings } = await run([cups.audited, orders.audited], true)
    expect(log).toEqual(['order', 'cup'])
    expect(findings.map(({ module }) => module)).toEqual(['orders', 'cups'])
  })

  it.each([
    ['has findings left', [found('orders', [], [fault('order')]).audited]],
    ['was not audited completely', [inspecting('orders', [], false, [[]]).audited]],
    ['is not audited', []],
  ])('a module is not repaired if a module that needs it %s', async (_, others) => {
    const log: string[] = []
    const cups = found('cups', ['orders'], [repairing(log, 'cup')])
    const { findings } = await run([cups.audited, ...others], true)
    expect(log).toEqual([])
    expect(findings.at(-1)).toMatchObject({ subject: 'cup', notRepaired: expect.stringMatching(/^orders /) })
  })
})
