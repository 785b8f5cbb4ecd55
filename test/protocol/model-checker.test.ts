import { describe, expect, it } from 'vitest'
import { check, type Invariant, type Model, type Transition } from './model-checker.ts'

/** The model of these tests: a walk over the squares of a board, from one corner. */
interface Square {
  x: number
  y: number
}

const step = (label: string, x: number, y: number, size: number): Transition<Square> => ({
  label,
  next: (at) => (at.x + x < size && at.y + y < size ? { x: at.x + x, y: at.y + y } : undefined),
})

const walk = (size: number, ...invariants: Invariant<Square>[]): Model<Square> => ({
  initial: { x: 0, y: 0 },
  transitions: [step('right', 1, 0, size), step('up', 0, 1, size)],
  keyOf: ({ x, y }) => `${x},${y}`,
  invariants,
})

const never = (x: number, y: number): Invariant<Square> => ({
  name: `never at ${x},${y}`,
  holds: (at) => at.x !== x || at.y !== y,
})

describe('an exploration', () => {
  it('an exploration visits every state once, over every transition', () => {
    const verdict = check(walk(4))
    expect(verdict).toMatchObject({ states: 16, transitions: 24, depth: 6, counterexample: undefined })
    expect(Object.fromEntries(verdict.taken)).toEqual({ right: 12, up: 12 })
  })

  it('an exploration ends if the states form a cycle', () => {
    const verdict = check({
      initial: 0,
      transitions: [{ label: 'tick', next: (hour) => (hour + 1) % 12 }],
      keyOf: String,
      invariants: [],
    })
    expect(verdict).toMatchObject({ states: 12, transitions: 12, depth: 11 })
  })

  it('an exploration counts a step that changes nothing, but counts no new state for it', () => {
    const stay: Transition<Square> = { label: 'stay', next: (at) => at }
    const model = walk(2)
    const verdict = check({ ...model, transitions: [...model.transitions, stay] })
    expect(verdict).toMatchObject({ states: 4, transitions: 8 })
    expect(verdict.taken.get('stay')).toBe(4)
  })

  it('an exploration reports the labels that were never taken', () => {
    const model = walk(2)
    const verdict = check({ ...model, transitions: [...model.transitions, step('leap', 2, 0, 2)] })
    expect(verdict.taken.get('leap')).toBe(0)
  })

  it('an exploration reports the situations that never occurred', () => {
    const verdict = check(walk(3), [
      { name: 'in the far corner', reached: (_, __, { x, y }) => x === 2 && y === 2 },
      { name: 'off the board', reached: (_, __, { x }) => x === 3 },
      { name: 'up from the right edge', reached: ({ x }, label) => x === 2 && label === 'up' },
      { name: 'right from the right edge', reached: ({ x }, label) => x === 2 && label === 'right' },
    ])
    expect(verdict.missed).toEqual(['off the board', 'right from the right edge'])
  })
})

describe('a violation', () => {
  it('a violation of an invariant is found and named', () => {
    expect(check(walk(4, never(7, 7), never(1, 2))).counterexample?.broken).toBe('never at 1,2')
  })

  it('a violation is reported with a shortest trace', () => {
    const model = walk(4, never(2, 3))
    const leap: Transition<Square> = { label: 'leap', next: ({ x, y }) => ({ x: y, y: x + 1 }) }
    const within = ({ x, y }: Square) => x < 4 && y < 4
    const bounded = { ...leap, next: (at: Square) => [leap.next(at)].find((to) => to && within(to)) }
    const { counterexample } = check({ ...model, transitions: [...model.transitions, bounded] })
    expect(counterexample?.trace).toHaveLength(5)
    expect(check(model).counterexample?.trace.toSorted()).toEqual(['right', 'right', 'up', 'up', 'up'])
  })

  it('the reported trace leads to the violation', () => {
    const model = walk(5, never(3, 1))
    const { counterexample } = check(model)
    const end = counterexample?.trace.reduce<Square | undefined>(
      (at, label) => at && model.transitions.find((transition) => transition.label === label)?.next(at),
      model.initial,
    )
    expect(end).toEqual({ x: 3, y: 1 })
  })

  it('a violation in the initial state has an empty trace', () => {
    expect(check(walk(4, never(0, 0))).counterexample).toEqual({ broken: 'never at 0,0', trace: [] })
  })

  it('a violation of a step invariant is found, even if the step leads to a known state', () => {
    const noTurn = {
      name: 'no step up at the right edge',
      holds: (before: Square, after: Square) => before.x !== 2 || after.y === before.y,
    }
    const { counterexample } = check({ ...walk(3), stepInvariants: [noTurn] })
    expect(counterexample).toEqual({ broken: noTurn.name, trace: ['right', 'right', 'up'] })
    const home = { label: 'home', next: () => ({ x: 0, y: 0 }) }
    const noReturn = { name: 'no step back to the start', holds: (_: Square, { x, y }: Square) => x + y > 0 }
    const model = walk(3)
    expect(
      check({ ...model, transitions: [...model.transitions, home], stepInvariants: [noReturn] })
        .counterexample,
    ).toMatchObject({ broken: 'no step back to the start' })
  })
})

describe('a recovery', () => {
  const model = walk(3)
  const recovery = {
    name: 'every walk gets home',
    transitions: model.transitions,
    settled: ({ x, y }: Square) => x === 2 && y === 2,
  }

  it('a recovery passes if it can settle every state', () => {
    expect(check({ ...model, recovery }).counterexample).toBeUndefined()
  })

  it('a recovery fails with a shortest trace to a dead end', () => {
    const trap: Transition<Square> = {
      label: 'fall',
      next: ({ x, y }) => (x === 1 && y === 1 ? { x: -1, y: 9 } : undefined),
    }
    const trapped = { ...model, transitions: [...model.transitions, trap] }
    expect(check({ ...trapped, recovery }).counterexample).toEqual({
      broken: 'every walk gets home',
      trace: ['right', 'up', 'fall'],
    })
  })

  it('a recovery fails if its steps only cycle', () => {
    const circle = { label: 'turn', next: ({ x, y }: Square) => ({ x: y, y: x }) }
    const { counterexample } = check({ ...model, recovery: { ...recovery, transitions: [circle] } })
    expect(counterexample).toEqual({ broken: 'every walk gets home', trace: [] })
  })

  it('a recovery uses only its own steps, from the states that a crash leaves', () => {
    const [right, up] = model.transitions
    const crash = { label: 'crash', next: ({ y }: Square) => ({ x: 0, y }) }
    const recoveringBy = (...transitions: (Transition<Square> | undefined)[]) => ({
      ...model,
      recovery: { ...recovery, crash, transitions: transitions.filter((transition) => !!transition) },
    })
    expect(check(recoveringBy(right, up)).counterexample).toBeUndefined()
    expect(check(recoveringBy(right)).counterexample).toEqual({
      broken: 'every walk gets home',
      trace: ['crash'],
    })
  })

  it('a recovery fails if its own steps can lead into a dead end', () => {
    const fall = { label: 'fall', next: ({ x }: Square) => (x === 2 ? { x: -1, y: 9 } : undefined) }
    const crash = { label: 'crash', next: (at: Square) => ({ ...at, y: 0 }) }
    const transitions = [...model.transitions, fall]
    expect(check({ ...model, recovery: { ...recovery, crash, transitions } }).counterexample).toEqual({
      broken: 'every walk gets home',
      trace: ['right', 'right', 'crash', 'fall'],
    })
  })
})
