import type { Command } from '#kernel/command.ts'
import type { AnyModule } from '#kernel/module.ts'
import { nearestName } from '#kernel/nearest-name.ts'
import { textTable } from '../host/text-table.ts'
import { quote, readCommandLine, UsageError } from './command-line.ts'

/** A command of `npm run admin` with its arguments. */
export interface AdminRequest {
  module: string
  command: string
  args: readonly string[]
  json: boolean
}

/**
 * Reads the arguments of `npm run admin`.
 * @throws UsageError. Its message contains no argument after the name of the command, because the argument may be a
 * password
 */
export function readAdminRequest(
  modules: readonly AnyModule[],
  args: readonly string[],
): AdminRequest | 'help' {
  const { isSet, positionals } = readCommandLine(args, ['json'], { mayBeSecret: true })
  if (isSet('help')) return 'help'
  const [name, ...given] = positionals
  if (name === undefined) throw new UsageError('the command is missing')
  for (const module of modules) {
    const command = module.commands?.find((candidate) => candidate.name === name)
    if (command === undefined) continue
    refuseWrongCount(command, given)
    return { module: module.name, command: name, args: given, json: isSet('json') }
  }
  throw new UsageError(unknownCommand(name, commandsOf(modules)))
}

function refuseWrongCount({ name, parameters }: Command, args: readonly string[]): void {
  const missing = parameters.slice(args.length).map((parameter) => `<${parameter}>`)
  if (missing.length > 0) throw new UsageError(`${name}: missing ${missing.join(' and ')}`)
  const surplus = args.length - parameters.length
  if (surplus > 0)
    throw new UsageError(`${name}: ${surplus} ${surplus === 1 ? 'argument' : 'arguments'} too many`)
}

function unknownCommand(name: string, commands: readonly Command[]): string {
  const suggestion = nearestName(
    name,
    commands.map((command) => command.name),
  )
  const hint = suggestion === undefined ? '' : `; did you mean ${suggestion}?`
  return `there is no command ${quote(name)}${hint}`
}

const commandsOf = (modules: readonly AnyModule[]): Command[] =>
  modules.flatMap(({ commands }) => commands ?? [])

export function adminUsage(modules: readonly AnyModule[]): string {
  const rows = commandsOf(modules).map(({ name, parameters, summary }) => [
    [name, ...parameters.map((parameter) => `<${parameter}>`)].join(' '),
    summary,
  ])
  return `npm run admin -- <command> [--json]

${textTable(rows)
  .map((line) => `  ${line}`)
  .join('\n')}

The command works on the shop that the settings name (the same environment variables as for the program). The shop may
run in the meantime. A command that needs a password asks for it, or reads it from the first line of standard input. A
password is never an argument, because other users of the machine can see arguments.

  --json   prints JSON (use npm run --silent)

Exit status: 0 done, 1 refused, 2 wrong usage or not possible now, 130 cancelled at the prompt.`
}
