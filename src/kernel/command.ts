import type { Call } from './call.ts'

/** What came of a command: for a person to read, and for a program. */
export interface Answer {
  text: string
  json: unknown
}

/** Something that an operator may have a module do, by `npm run admin`. */
export interface Command {
  name: string
  /** What its arguments are, in order; each is required. */
  parameters: readonly string[]
  /** One line for the usage. */
  summary: string
  /**
   * @param secret asks for one that nobody sees, as `what`
   * @param call for work from now on: whoever is asked takes their time
   * @throws Refusal, DomainError
   */
  run(args: readonly string[], secret: (what: string) => Promise<string>, call: () => Call): Promise<Answer>
}

/** Why a command was not carried out: the message is for the person who gave it. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
}
