import { kernelProblems, type ProblemTable } from '#kernel/http/problems.ts'

/**
 * Joins the problems of the kernel and of all modules. Modules that another process hosts are included, because every
 * process serves the page of every problem.
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
          `the problem ${code} of ${name} must have another code, because ${owner} already has this one`,
        )
      owners.set(code, name)
      table[code] = problem
    }
  }
  return table
}
