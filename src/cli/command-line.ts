import { parseArgs } from 'node:util'
import { nearestName } from '#kernel/nearest-name.ts'

/** What is wrong with the arguments that a program was started with. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/**
 * The arguments of this process. Every option is a flag, and `--help` is one of them.
 * @param options.mayBeSecret whether an unknown argument may be a password: it is named by its position then
 * @throws UsageError that says which argument is wrong
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
        `${which} is no option${question}: the options are ${listed}; a name that begins with - comes after --`,
      )
    }
    if (token.value !== undefined) throw new UsageError(`--${token.name} takes no value`)
  }
  return { isSet: (flag) => parsed.values[flag] === true, positionals: parsed.positionals }
}

/** A typed argument in quotes: without characters that would change the terminal, and no longer than a line. */
export const quoted = (typed: string): string => JSON.stringify(typed.slice(0, 40))
