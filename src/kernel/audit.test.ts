import { describe, expect, it } from 'vitest'
import { type AuditedModule, type Finding, runAudit } from './audit.ts'

/** A module whose looks find these, one after the other; the last one again and again. */
const found = (module: string, neededBy: string[], ...looks: Finding[][]) =>
  looking(module, neededBy, true, looks)

function looking(module: string, neededBy: string[], complete: boolean, looks: Finding[][]) {
  const asked: (ReadonlySet<string> | undefined)[] = []
  const audited: AuditedModule = {
    module,
    neededBy,
    audit: {
      async inspect(subjects) {
        asked.push(subjects)
        const findings = looks[Math.min(asked.length, looks.length) - 1] ?? []
        return { checked: { [module]: 7 }, complete, findings }
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
const run = (modules: AuditedModule[], repair = false) => runAudit(modules, { repair, confirmAfterMs: 0 })

describe('an audit', () => {
  it('looks once where all is right', async () => {
    const { audited, asked } = found('cups', [], [])
    expect(await run([audited])).toEqual({ checked: { cups: 7 }, complete: true, findings: [] })
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
    await runAudit([audited], { repair: false, confirmAfterMs: 50 })
    expect(performance.now() - started).toBeGreaterThanOrEqual(45)
  })
})

describe('an audit that stopped at too many findings', () => {
  it('says so, also where none of them was confirmed', async () => {
    const { audited } = looking('cups', [], false, [[fault('a')], []])
    expect(await run([audited])).toMatchObject({ complete: false, findings: [] })
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

  it('says what it did', async () => {
    const log: string[] = []
    const { findings } = await run([found('cups', [], [repairing(log, 'a')]).audited], true)
    expect(findings).toMatchObject([{ repaired: 'done' }])
  })

  it('looks again where what was seen has moved on, and leaves what keeps moving', async () => {
    let tries = 0
    const moving = fault('a', async () => {
      tries += 1
      return tries === 3 ? 'done at last' : undefined
    })
    const never = fault('b', async () => undefined)
    const [first] = (await run([found('cups', [], [moving]).audited], true)).findings
    expect(first).toMatchObject({ repaired: 'done at last' })
    const [second] = (await run([found('cups', [], [never]).audited], true)).findings
    expect(second).toMatchObject({ notRepaired: 'it changes too often just now' })
    const [third] = (await run([found('cups', [], [never], [never], []).audited], true)).findings
    expect(third).toMatchObject({ repaired: 'is right again' })
  })

  it('that fails is said of its finding, and the others are reported all the same', async () => {
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

  it('that promises less comes before all others, and waits for nobody', async () => {
    const log: string[] = []
    const less = { ...repairing(log, 'too many cups'), oversells: true }
    const cups = found('cups', ['orders'], [less, repairing(log, 'too few cups')])
    const orders = found('orders', [], [repairing(log, 'order'), fault('b')])
    await run([cups.audited, orders.audited], true)
    expect(log).toEqual(['too many cups', 'order'])
  })

  it.each([
    ['promises too much already', [found('cups', [], [{ ...fault('cup'), oversells: true }]).audited]],
    ['was not looked at to the end', [looking('cups', [], false, [[]]).audited]],
    ['is not audited', []],
  ])('that gives something back to another module is not done while that one %s', async (_, others) => {
    const log: string[] = []
    const giving = { ...repairing(log, 'order'), releasesTo: 'cups' }
    const orders = found('orders', [], [giving])
    const { findings } = await run([...others, orders.audited], true)
    expect(log).toEqual([])
    expect(findings.find(({ module }) => module === 'orders')).toMatchObject({
      notRepaired: expect.stringMatching(/^cups /),
    })
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
    ['was not looked at to the end', [looking('orders', [], false, [[]]).audited]],
    ['is not audited', []],
  ])('of what others need is not done where one of them %s', async (_, others) => {
    const log: string[] = []
    const cups = found('cups', ['orders'], [repairing(log, 'cup')])
    const { findings } = await run([cups.audited, ...others], true)
    expect(log).toEqual([])
    expect(findings.at(-1)).toMatchObject({ subject: 'cup', notRepaired: expect.stringMatching(/^orders /) })
  })
})
