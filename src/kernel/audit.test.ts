import { describe, expect, it } from 'vitest'
import { type AuditedModule, type Finding, runAudit } from './audit.ts'

/** A module whose looks find these, one after the other; the last one again and again. */
function found(module: string, neededBy: string[], ...looks: Finding[][]) {
  const asked: (ReadonlySet<string> | undefined)[] = []
  const audited: AuditedModule = {
    module,
    neededBy,
    audit: {
      async look(subjects) {
        asked.push(subjects)
        return { checked: { [module]: 7 }, findings: looks[Math.min(asked.length, looks.length) - 1] ?? [] }
      },
    },
  }
  return { audited, asked }
}

const fault = (subject: string, repair?: Finding['repair']): Finding => ({
  code: 'off',
  subject,
  message: 'is off',
  ...(repair && { repair }),
})
const run = (modules: AuditedModule[], repair = false) => runAudit(modules, { repair, secondLookAfter: 0 })

describe('an audit', () => {
  it('looks once where all is right', async () => {
    const { audited, asked } = found('cups', [], [])
    expect(await run([audited])).toEqual({ checked: { cups: 7 }, findings: [] })
    expect(asked).toEqual([undefined])
  })

  it('reports what a second look at the same subjects finds again, and nothing that only it finds', async () => {
    const { audited, asked } = found('cups', [], [fault('a'), fault('b')], [fault('b'), fault('c')])
    const { findings } = await run([audited])
    expect(findings).toEqual([
      { module: 'cups', code: 'off', subject: 'b', message: 'is off', repairable: false },
    ])
    expect(asked).toEqual([undefined, new Set(['a', 'b'])])
  })

  it('waits before the second look', async () => {
    const { audited } = found('cups', [], [fault('a')], [])
    const started = performance.now()
    await runAudit([audited], { repair: false, secondLookAfter: 50 })
    expect(performance.now() - started).toBeGreaterThanOrEqual(45)
  })
})

describe('a repair', () => {
  const repairing = (log: string[], subject: string, outcome: string | undefined = 'done') =>
    fault(subject, async () => {
      log.push(subject)
      return outcome
    })

  it('is not done unless it is asked for', async () => {
    const log: string[] = []
    const { findings } = await run([found('cups', [], [repairing(log, 'a')]).audited])
    expect(log).toEqual([])
    expect(findings).toMatchObject([{ subject: 'a', repairable: true }])
    expect(findings[0]).not.toHaveProperty('notRepaired')
  })

  it('says what it did, or that what was seen is no longer so', async () => {
    const log: string[] = []
    const gone = fault('b', async () => undefined)
    const { findings } = await run([found('cups', [], [repairing(log, 'a'), gone]).audited], true)
    expect(findings).toMatchObject([
      { repaired: 'done' },
      { notRepaired: expect.stringContaining('changed') },
    ])
  })

  it('of what others need comes after theirs, on what is there then', async () => {
    const log: string[] = []
    const cups = found('cups', ['orders'], [repairing(log, 'cup')])
    const orders = found('orders', [], [repairing(log, 'order')])
    const { findings } = await run([cups.audited, orders.audited], true)
    expect(log).toEqual(['order', 'cup'])
    expect(findings.map(({ module }) => module)).toEqual(['orders', 'cups'])
  })

  it.each([
    ['has findings left', [found('orders', [], [fault('order')]).audited]],
    ['is not audited', []],
  ])('of what others need is not done where one of them %s', async (_, others) => {
    const log: string[] = []
    const cups = found('cups', ['orders'], [repairing(log, 'cup')])
    const { findings } = await run([cups.audited, ...others], true)
    expect(log).toEqual([])
    expect(findings.at(-1)).toMatchObject({ subject: 'cup', notRepaired: expect.stringMatching(/^orders /) })
  })
})
