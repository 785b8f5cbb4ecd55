// `npm run new-module -- review`: adds a module to the program.
import { spawnSync } from 'node:child_process'
import { mkdir, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { quote, readCommandLine, UsageError } from '#src/cli/command-line.ts'
import { joinProblems } from '#src/http/join-problems.ts'
import { registry } from '#src/registry.ts'
import { conflictOf, faultOfName, faultOfNoun } from './new-module/check-name.ts'
import { editedFile, editedFiles } from './new-module/edits.ts'
import { fill, formsOf, type NameForms } from './new-module/name-forms.ts'

const usage = `npm run new-module -- <name> [<plural>]

Adds a module to the program. The name is a noun in the singular and in lower case, such as review or gift-card. The module can
create and read what it is named after (POST /reviews, GET /reviews/{id}). The plural is made of the name, unless it is given:
person people. The module has a collection, an index, a problem and tests of its own. The program adds it to the registry, to the
tests that go through all routes, to the documents and to the files of the deployment. It writes nothing if a name is taken.
Commit before you run it, so that "git checkout . && git clean -fd" undoes it.

Exit status: 0 the module is written, 1 it cannot be added, 2 the name is missing or not allowed.`

const root = fileURLToPath(new URL('..', import.meta.url))
const templates = join(root, 'scripts/new-module')

/** The text of each file, by its path in the repository. */
type Files = Map<string, string>

async function main(): Promise<void> {
  const { isSet, positionals } = readCommandLine(process.argv.slice(2), [], { mayBeSecret: false })
  if (isSet('help')) return console.log(usage)
  const [name, plural, surplus] = positionals
  if (name === undefined) throw new UsageError('the name of the module is missing')
  if (surplus !== undefined) throw new UsageError(`${quote(surplus)}: only one module can be added at a time`)
  const fault = faultOfName(name, plural)
  if (fault !== undefined) throw new UsageError(`${quote(name)} ${fault}`)
  const pluralFault = plural === undefined ? undefined : faultOfNoun(plural)
  if (pluralFault !== undefined) throw new UsageError(`${quote(plural ?? '')} ${pluralFault}`)
  if (plural === name) throw new UsageError(`${quote(name)} is given twice: the plural must differ from it`)

  const forms = formsOf(name, plural)
  const created = await filesFromTemplates(forms)
  const modules = registry.map((module) => module.name)
  const taken = { modules, problemCodes: Object.keys(joinProblems(registry)) }
  const conflict = await conflictOf(root, forms, await templateTexts(), taken)
  if (conflict !== undefined) throw new Error(`the module ${name} cannot be added: ${conflict}`)
  // Every change is made in memory first, so that a file without the expected place leaves no half of a module.
  const edited = await filesWithEdits(forms)
  await writeAll(created, edited)
  console.log(report(forms, [...created.keys()], [...edited.keys(), ...generatedFiles]))
}

/** What `scripts/openapi.ts` writes. */
const generatedFiles = ['docs/openapi.json', 'examples/client/schema.d.ts', 'docs/errors.md']

/** Writes the files, formats them, and runs `npm run openapi`. If a step fails, everything is as before. */
async function writeAll(created: Files, edited: Files): Promise<void> {
  const paths = [...created.keys(), ...edited.keys()]
  const changed = [...edited.keys(), ...generatedFiles]
  const originals = await Promise.all(
    changed.map(async (path) => [path, await readFile(join(root, path), 'utf8')] as const),
  )
  // Ctrl-C ends the program that runs at that time, which is a failed step. Without this listener it would leave half of a module.
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {})
  try {
    for (const [path, text] of [...created, ...edited]) {
      await mkdir(dirname(join(root, path)), { recursive: true })
      await writeFile(join(root, path), text)
    }
    const code = paths.filter((path) => /\.(ts|mjs|js)$/.test(path))
    run('node_modules/@biomejs/biome/bin/biome', ['check', '--write', ...code])
    // The new process loads the registry with the new module.
    run('scripts/openapi.ts', [])
  } catch (error) {
    for (const [path, text] of originals) await writeFile(join(root, path), text)
    for (const path of created.keys()) await rm(join(root, path), { force: true })
    const folders = new Set([...created.keys()].map(dirname))
    for (const folder of folders) await rmdir(join(root, folder)).catch(() => undefined)
    throw error
  }
}

const templateNames = async (): Promise<string[]> =>
  (await readdir(join(templates, 'sample-item'))).map((name) => `sample-item/${name}`)

const templateTexts = async (): Promise<string[]> =>
  Promise.all((await templateNames()).map((name) => readFile(join(templates, name), 'utf8')))

async function filesFromTemplates(forms: NameForms): Promise<Files> {
  const files: Files = new Map()
  const add = async (template: string, folder: string) => {
    const text = fill(await readFile(join(templates, template), 'utf8'), forms)
    // A template is outside of src/modules, so that it imports other modules by another path.
    files.set(`${folder}${fill(template, forms)}`, text.replaceAll("'#src/modules/", "'../"))
  }
  for (const name of await templateNames()) await add(name, 'src/modules/')
  await add('sample-item.yaml', 'deploy/base/')
  return files
}

async function filesWithEdits(forms: NameForms): Promise<Files> {
  const files: Files = new Map()
  for (const file of editedFiles) {
    const text = await readFile(join(root, file), 'utf8')
    files.set(
      file,
      editedFile(file, text, (template) => fill(template, forms)),
    )
  }
  return files
}

/** Runs a program of this repository. @throws Error if it fails */
function run(program: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    cwd: root,
    encoding: 'utf8',
  })
  if (status !== 0)
    throw new Error(`${program} failed, so that the module was not added:\n${stdout}${stderr}`)
}

const report = ({ kebab, kebabPlural }: NameForms, created: readonly string[], edited: readonly string[]) =>
  `${[...created.map((path) => `new      ${path}`), ...edited.map((path) => `changed  ${path}`)].join('\n')}

The module has POST /${kebabPlural} and GET /${kebabPlural}/{id}. Try it:

  npm run test:watch -- run src/modules/${kebab}
  npm run dev

After a change of its routes, fields or problems:

  npm run openapi
  npm run format
  npm run check

docs/guides/add-a-module.md continues with a field and a problem of its own.`

// With `exitCode`, Node.js ends when all output is written.
await main().catch((error: unknown) => {
  const message = error instanceof Error ? error.message : error
  const isUsage = error instanceof UsageError
  console.error(isUsage ? `${message}\n\n${usage}` : message)
  process.exitCode = isUsage ? 2 : 1
})
