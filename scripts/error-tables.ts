import { kernelProblems, type ProblemTable } from '#kernel/http/problems.ts'
import type { AnyModule } from '#kernel/module.ts'

const tableHead = `| code | status | retryable | what it means | what to do |
| --- | --- | --- | --- | --- |
`

const headingAfterTables = '## Answers of NGINX'

/**
 * Writes the tables of problems into docs/errors.md: one for the kernel, and one for each module under the heading with its name,
 * which is added if it is missing. The other text of the page stays.
 * @throws Error if a new table has no place
 */
export function withErrorTables(page: string, modules: readonly AnyModule[]): string {
  const ofModules = modules.flatMap(({ name, problems }) =>
    problems ? [{ heading: headingOf(name), problems }] : [],
  )
  const sections = [{ heading: '## Any module', problems: kernelProblems }, ...ofModules]
  return sections.reduce((text, { heading, problems }) => withTable(text, heading, problems), page)
}

/** The heading of the module `gift-card` is `## Gift card`. */
const headingOf = (module: string): string =>
  `## ${module.charAt(0).toUpperCase()}${module.slice(1).replaceAll('-', ' ')}`

function withTable(page: string, heading: string, problems: ProblemTable): string {
  const start = `\n${heading}\n\n`
  const table = tableHead + rowsOf(problems)
  const at = page.indexOf(start)
  if (at !== -1)
    return page.slice(0, at) + start + table + page.slice(at + start.length).replace(/^(\|.*\n)*/, '')
  const end = page.indexOf(`\n${headingAfterTables}\n`)
  if (end === -1) throw new Error(`docs/errors.md has no heading "${headingAfterTables}"`)
  return page.slice(0, end) + start + table + page.slice(end)
}

const rowsOf = (problems: ProblemTable): string =>
  Object.entries(problems)
    .map(
      ([code, { status, retryable, meaning, advice }]) =>
        `| \`${code}\` | ${status} | ${retryable ? 'yes' : 'no'} | ${meaning} | ${advice} |\n`,
    )
    .join('')
