/** A closed gate. Each call that passes it is held until the test opens it. */
export function createGate() {
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
  const { promise: opened, resolve: open } = Promise.withResolvers<void>()
  return {
    open,
    /** Resolves when the first call is held. */
    reached,
    /** Resolves when the gate is open. */
    pass() {
      reach()
      return opened
    },
  }
}

export type Gate = ReturnType<typeof createGate>
