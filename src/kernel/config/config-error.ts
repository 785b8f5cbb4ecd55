/** A reason why the program cannot start. The message is for the operator and is printed without a stack trace. */
export class StartFailure extends Error {
  override readonly name: string = 'StartFailure'
}

/** All faults of the configuration together. The boot prints the message and ends with exit code 1. */
export class ConfigError extends StartFailure {
  override readonly name = 'ConfigError'
  readonly faults: readonly string[]
  /** @param hints sentences that may explain the faults */
  constructor(faults: readonly string[], hints: readonly string[] = []) {
    const count = faults.length === 1 ? '1 fault' : `${faults.length} faults`
    super([`The configuration has ${count}:`, ...faults.map((fault) => `  - ${fault}`), ...hints].join('\n'))
    this.faults = faults
  }
}
