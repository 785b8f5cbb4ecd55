import type { Call } from './call.ts'

/** How a command reaches the person, or the script, that gave it. */
export interface Terminal {
  print(line: string): void
  /**
   * A secret that nobody sees: asked for twice where a person types it, or the first line of standard input.
   * @throws Refusal if there is none, or the two differ
   */
  secret(what: string): Promise<string>
}

/** Something that an operator may have a module do, by `npm run admin`. */
export interface Command {
  name: string
  /** What its arguments are, in order; each is required. */
  parameters: readonly string[]
  /** One line for the usage. */
  summary: string
  /** @throws Refusal, DomainError */
  run(args: readonly string[], terminal: Terminal, call: () => Call): Promise<void>
}

/** Why a command was not carried out: the message is for the person who gave it. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
}
