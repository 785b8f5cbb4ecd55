import { kernelProblems, type ProblemTable } from '#kernel/http/problems.ts'

/**
 * The problems of the kernel and of all modules, hosted by this process or not: every process explains every code.
 * @throws Error if two of them have the same code
 */
export function joinProblems(modules: readonly { name: string; problems?: ProblemTable }[]): ProblemTable {
  const table: Record<string, ProblemTable[string]> = { ...kernelProblems }
  const owners = new Map(Object.keys(kernelProblems).map((code) => [code, 'the kernel']))
  for (const { name, problems = {} } of modules) {
    for (const [code, problem] of Object.entries(problems)) {
      const owner = owners.get(code)
      if (owner !== undefined)
        throw new Error(
          `the problem ${code} of ${name} must have another code: ${owner} has this one already`,
        )
      owners.set(code, name)
      table[code] = problem
    }
  }
  return table
}
