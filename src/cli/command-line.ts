import { parseArgs } from 'node:util'
import { nearestName } from '#kernel/nearest-name.ts'

/** A mistake in the arguments. The message describes it for the operator. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/**
 * Reads the arguments of a program. Every option is a flag without a value. `--help` is always an option.
 * @param options.mayBeSecret whether an unknown option may be a password. The message then has its position, not its
 * text
 * @throws UsageError
 */
export function readCommandLine<Flag extends string>(
  args: readonly string[],
  flags: readonly Flag[],
  { mayBeSecret }: { mayBeSecret: boolean },
): { isSet(flag: Flag | 'help'): boolean; positionals: readonly string[] } {
  const names: readonly string[] = [...flags, 'help']
  const options = Object.fromEntries(
    names.map((name) => [name, { type: 'boolean', ...(name === 'help' && { short: 'h' }) } as const]),
  )
  const parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: false, tokens: true })
  for (const token of parsed.tokens) {
    if (token.kind !== 'option') continue
    if (!names.includes(token.name)) {
      const subject = mayBeSecret ? `argument ${token.index + 1}` : quote(token.rawName)
      const suggestion = nearestName(token.name, names)
      const hint = suggestion === undefined ? '' : ` (did you mean --${suggestion}?)`
      const listed = names.map((name) => `--${name}`).join(', ')
      throw new UsageError(
        `${subject} is not an option${hint}: the options are ${listed}. An argument that begins with - must come after --`,
      )
    }
    if (token.value !== undefined) throw new UsageError(`--${token.name} takes no value`)
  }
  return { isSet: (flag) => parsed.values[flag] === true, positionals: parsed.positionals }
}

const maxQuotedCharacters = 40

/** Quotes an argument for a message. Control characters are escaped, because they could change the terminal. */
export const quote = (argument: string): string => JSON.stringify(argument.slice(0, maxQuotedCharacters))
