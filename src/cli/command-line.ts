import { parseArgs } from 'node:util'
import { nearestName } from '#kernel/nearest-name.ts'

/** A fault of the command line. The message says what is wrong with it. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/**
 * Reads the arguments of this process. Every option is a flag without a value. `--help` is always an option.
 * @param options.mayBeSecret whether an unknown argument may be a password. The message then gives its position instead.
 * @throws UsageError
 */
export function readCommandLine<Flag extends string>(
  flags: readonly Flag[],
  { mayBeSecret }: { mayBeSecret: boolean },
): { isSet(flag: Flag | 'help'): boolean; positionals: readonly string[] } {
  const names: readonly string[] = [...flags, 'help']
  const options = Object.fromEntries(
    names.map((name) => [name, { type: 'boolean', ...(name === 'help' && { short: 'h' }) } as const]),
  )
  const parsed = parseArgs({ options, allowPositionals: true, strict: false, tokens: true })
  for (const token of parsed.tokens) {
    if (token.kind !== 'option') continue
    if (!names.includes(token.name)) {
      const which = mayBeSecret ? `argument ${token.index + 1}` : quoted(token.rawName)
      const meant = nearestName(token.name, names)
      const question = meant === undefined ? '' : ` (did you mean --${meant}?)`
      const listed = names.map((name) => `--${name}`).join(', ')
      throw new UsageError(
        `${which} is not an option${question}: the options are ${listed}. An argument that begins with - must come after --`,
      )
    }
    if (token.value !== undefined) throw new UsageError(`--${token.name} takes no value`)
  }
  return { isSet: (flag) => parsed.values[flag] === true, positionals: parsed.positionals }
}

const maxQuotedCharacters = 40

/** Quotes an argument for a message, without control characters, which could change the terminal. */
export const quoted = (argument: string): string => JSON.stringify(argument.slice(0, maxQuotedCharacters))
