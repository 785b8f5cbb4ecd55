import type { Call } from './call.ts'

/** The result of a command: `table` and `text` for the operator, `json` for a program. */
export interface CommandResult {
  /** The first row has the column titles. The table is printed before the text. */
  table?: readonly (readonly string[])[]
  text?: string
  json: unknown
}

/** What a command gets from the program that runs it. */
export interface CommandInput {
  /** One argument for each parameter of the command. */
  args: readonly string[]
  /**
   * Reads a secret without showing it.
   * @param name names the secret in the prompt
   */
  readSecret(name: string): Promise<string>
  /**
   * Creates a call whose deadline counts from now. A command creates it when it needs it, because an operator may take
   * long to type.
   */
  createCall(): Call
}

/** A command of `npm run admin`. It is data, so that printing the usage needs neither settings nor a database. */
export interface Command<Operations = unknown> {
  name: string
  /** The names of the arguments, in order. Each argument is required. */
  parameters: readonly string[]
  /** One line for the usage. */
  summary: string
  /**
   * @param operations what the started module offers to its commands
   * @throws Refusal, DomainError
   */
  run(operations: Operations, input: CommandInput): Promise<CommandResult>
}

/** The reason why a command was not carried out. The message is for the operator. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
}
