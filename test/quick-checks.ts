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

/** The checks that need no running program: each is a title, a program, and the program's arguments. */
const quickChecks = [
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
  },
  {
    title: 'boundaries',
    program: 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs',
    args: ['--config', '.dependency-cruiser.mjs', 'src', 'test', 'bench', 'scripts', 'examples'],
  },
  { title: 'OpenAPI document', program: 'scripts/openapi.ts', args: ['--check'] },
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
 * @returns for each check, whether it passed
 */
export function runQuickChecks(): Promise<boolean[]> {
  return Promise.all(
    quickChecks.map(
      ({ title, program, args }) =>
        new Promise<boolean>((resolve, reject) => {
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
            if (code !== 0) console.log(Buffer.concat(output).toString())
            console.log(`${title}: ${code === 0 ? 'passed' : 'failed'}`)
            resolve(code === 0)
          })
        }),
    ),
  )
}
