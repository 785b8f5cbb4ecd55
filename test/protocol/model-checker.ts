// A model checker. It visits every reachable state of a finite model, breadth first. So an invariant that holds in each visited
// state holds in the whole model, and no counterexample is shorter than the one that it reports.

/** One atomic step of one actor. */
export interface Transition<State> {
  readonly label: string
  /** Returns the next state, the same object if nothing changes, or undefined if the transition is not enabled. */
  readonly next: (state: State) => State | undefined
}

export interface Invariant<State> {
  readonly name: string
  readonly holds: (state: State) => boolean
}

/** An invariant of a step, which relates the states before and after it. */
export interface StepInvariant<State> {
  readonly name: string
  readonly holds: (before: State, after: State) => boolean
}

/** The claim that after a crash in any reachable state, these transitions alone can lead to a settled state. */
export interface Recovery<State> {
  readonly name: string
  /** Removes from a state what a crash loses. Without `crash`, recovery starts from the reachable states themselves. */
  readonly crash?: Transition<State>
  readonly transitions: readonly Transition<State>[]
  readonly settled: (state: State) => boolean
}

export interface Model<State> {
  readonly initial: State
  readonly transitions: readonly Transition<State>[]
  /** Equal states have equal keys, and different states have different keys. */
  readonly keyOf: (state: State) => string
  readonly invariants: readonly Invariant<State>[]
  readonly stepInvariants?: readonly StepInvariant<State>[]
  readonly recovery?: Recovery<State>
}

/** A situation that must occur in the model. Without it, the model would prove nothing about that situation. */
export interface Situation<State> {
  readonly name: string
  readonly reached: (before: State, label: string, after: State) => boolean
}

export interface Counterexample {
  readonly broken: string
  /** The labels of the steps of a shortest path to the violation. */
  readonly trace: readonly string[]
}

export interface Verdict {
  readonly states: number
  readonly transitions: number
  /** The number of steps to the farthest state. */
  readonly depth: number
  /** How often each label was taken. */
  readonly taken: ReadonlyMap<string, number>
  /** The situations that never occurred. */
  readonly missed: readonly string[]
  readonly counterexample: Counterexample | undefined
}

/** Explores the whole model, or stops at the first counterexample. */
export function check<State>(model: Model<State>, situations: readonly Situation<State>[] = []): Verdict {
  const { transitions, keyOf, invariants, stepInvariants = [], recovery } = model
  const known = new Set([keyOf(model.initial)])
  // For each state, by its number: the state that it was first reached from, and the transition. The initial state is 0.
  const parents = [-1]
  const steps = [-1]
  const counts = transitions.map(() => 0)
  const crashes = recovery && collectCrashes(recovery, keyOf)
  let missed = situations
  let taken = 0
  let depth = 0
  let last: { state: State; number: number }[] = []
  let frontier = [{ state: model.initial, number: 0 }]

  const labelOf = (transition: number) => transitions[transition]?.label ?? ''
  const traceTo = (number: number): string[] => {
    const labels: string[] = []
    for (let at = number; at > 0; at = parents[at] ?? 0) labels.push(labelOf(steps[at] ?? 0))
    return labels.reverse()
  }
  const verdict = (counterexample?: Counterexample): Verdict => ({
    states: known.size,
    transitions: taken,
    depth,
    taken: new Map(transitions.map(({ label }, at) => [label, counts[at] ?? 0])),
    missed: missed.map(({ name }) => name),
    counterexample,
  })

  const wrong = invariants.find(({ holds }) => !holds(model.initial))
  if (wrong) return verdict({ broken: wrong.name, trace: [] })

  for (; frontier.length > 0; depth++) {
    last = frontier
    frontier = []
    for (const { state, number } of last) {
      crashes?.add(state, number, depth)
      for (const [transition, { label, next }] of transitions.entries()) {
        const after = next(state)
        if (after === undefined) continue
        taken++
        counts[transition] = (counts[transition] ?? 0) + 1
        if (missed.some(({ reached }) => reached(state, label, after))) {
          missed = missed.filter(({ reached }) => !reached(state, label, after))
        }
        if (after === state) continue
        const brokenStep = stepInvariants.find(({ holds }) => !holds(state, after))
        if (brokenStep) return verdict({ broken: brokenStep.name, trace: [...traceTo(number), label] })
        const key = keyOf(after)
        if (known.has(key)) continue
        known.add(key)
        const broken = invariants.find(({ holds }) => !holds(after))
        if (broken) return verdict({ broken: broken.name, trace: [...traceTo(number), label] })
        frontier.push({ state: after, number: parents.length })
        parents.push(number)
        steps.push(transition)
      }
    }
  }
  depth--

  const stuck = crashes?.firstStuck()
  return verdict(stuck && { broken: stuck.name, trace: [...traceTo(stuck.number), ...stuck.trace] })
}

interface Recovering<State> {
  state: State
  depth: number
  /** The number of the explored state that this state stems from, and the labels of the steps since then. */
  number: number
  trace: readonly string[]
  /** The states from which one recovery step leads to this state. */
  before: Recovering<State>[]
  settles: boolean
}

/** Collects the states that crashes leave, and explores recovery from them. They are far fewer than all reachable states. */
function collectCrashes<State>(recovery: Recovery<State>, keyOf: (state: State) => string) {
  const { name, crash, transitions, settled } = recovery
  const nodes = new Map<string, Recovering<State>>()
  const byDepth: Recovering<State>[][] = []

  const node = (state: State, depth: number, number: number, trace: readonly string[]) => {
    const key = keyOf(state)
    const existing = nodes.get(key)
    if (existing) return existing
    const added: Recovering<State> = { state, depth, number, trace, before: [], settles: false }
    nodes.set(key, added)
    byDepth[depth] ??= []
    byDepth[depth].push(added)
    return added
  }

  return {
    add(state: State, number: number, depth: number): void {
      const left = crash ? crash.next(state) : state
      if (left === undefined) return
      node(left, crash ? depth + 1 : depth, number, crash ? [crash.label] : [])
    },

    firstStuck(): { name: string; number: number; trace: readonly string[] } | undefined {
      // The loop also visits the states that it appends to `byDepth`.
      for (let depth = 0; depth < byDepth.length; depth++) {
        for (const from of byDepth[depth] ?? []) {
          for (const { label, next } of transitions) {
            const after = next(from.state)
            if (after === undefined || after === from.state) continue
            node(after, depth + 1, from.number, [...from.trace, label]).before.push(from)
          }
        }
      }
      const settling = [...nodes.values()].filter(({ state }) => settled(state))
      for (const node of settling) node.settles = true
      for (let next = settling.pop(); next; next = settling.pop()) {
        for (const from of next.before) {
          if (from.settles) continue
          from.settles = true
          settling.push(from)
        }
      }
      const stuck = byDepth.flat().find(({ settles }) => !settles)
      return stuck && { name, number: stuck.number, trace: stuck.trace }
    },
  }
}
