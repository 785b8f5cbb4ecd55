import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Checks that each relative link leads to a file and to a heading in it. The arguments that follow are files and folders. */
export const linkCheck = {
  program: 'node_modules/remark-cli/cli.js',
  args: [
    // Without a repository, links to GitHub are not taken for links to files of this folder.
    ...['--use', 'remark-validate-links=repository:false'],
    ...['--frail', '--quiet', '--no-stdout', '--no-config', '--no-color'],
  ],
}

// The output of the checks is collected, so that the compiler cannot tell whether it is for a terminal.
const pretty = ['--pretty', String(process.stdout.isTTY === true)]

interface QuickCheck {
  title: string
  program: string
  args: readonly string[]
  /** What mends most faults. */
  remedy?: string
}

/** The checks that need no running program. */
const quickChecks: QuickCheck[] = [
  { title: 'types', program: 'node_modules/typescript/bin/tsc', args: pretty },
  {
    title: 'types of the scripts for browsers',
    program: 'node_modules/typescript/bin/tsc',
    args: [...pretty, '--project', 'tsconfig.browser.json'],
  },
  {
    title: 'lint',
    program: 'node_modules/@biomejs/biome/bin/biome',
    args: ['check', '--error-on-warnings'],
    remedy: 'try npm run format',
  },
  {
    title: 'boundaries',
    program: 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs',
    args: [
      '--config',
      '.dependency-cruiser.mjs',
      '--output-type',
      'err-long',
      'src',
      'test',
      'bench',
      'scripts',
      'examples',
    ],
  },
  {
    title: 'generated documents',
    program: 'scripts/openapi.ts',
    args: ['--check'],
    remedy: 'npm run openapi',
  },
  {
    title: 'rules of the OpenAPI document',
    program: 'node_modules/@redocly/cli/bin/cli.js',
    args: ['lint', 'docs/openapi.json', '--config', 'test/contract/redocly.yaml'],
  },
  {
    title: 'links of the documentation',
    program: linkCheck.program,
    args: [
      ...linkCheck.args,
      ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'docs', 'deploy', 'examples'],
    ],
  },
]

/**
 * Runs the quick checks at the same time, and prints one line for each, preceded by the output of a check that fails.
 * @returns for each check, whether it passed. The description has the remedy, if there is one
 */
export function runQuickChecks(): Promise<{ description: string; passed: boolean }[]> {
  return Promise.all(
    quickChecks.map(
      ({ title, program, args, remedy }) =>
        new Promise<{ description: string; passed: boolean }>((resolve, reject) => {
          const child = spawn(process.execPath, [program, ...args], {
            cwd: root,
            env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
            stdio: ['ignore', 'pipe', 'pipe'],
          })
          const output: Buffer[] = []
          child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
          child.stderr.on('data', (chunk: Buffer) => output.push(chunk))
          child.once('error', reject)
          child.once('close', (code) => {
            const passed = code === 0
            if (!passed) console.log(Buffer.concat(output).toString())
            console.log(`${title}: ${passed ? 'passed' : 'failed'}`)
            resolve({ description: remedy === undefined ? title : `${title} (${remedy})`, passed })
          })
        }),
    ),
  )
}
