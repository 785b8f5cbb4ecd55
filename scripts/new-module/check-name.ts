import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NameForms } from './name-forms.ts'

const nameFormat = /^[a-z][a-z]*(-[a-z]+)*$/
// The name is part of a database's name, which has 38 characters at most at some providers.
const maxNameLength = 24

/** Names that something else has: paths of the program, folders of src, accounts and objects of the deployment, and settings. */
const reserved = [
  ...[
    'internal',
    'metrics',
    'metric',
    'docs',
    'doc',
    'problems',
    'problem',
    'healthz',
    'readyz',
    'openapi',
    'other',
  ],
  ...[
    'kernel',
    'host',
    'http',
    'cli',
    'dev',
    'embedded',
    'main',
    'registry',
    'module',
    'modules',
    'test',
    'tests',
  ],
  ...[
    'all',
    'any',
    'any-service',
    'common',
    'ingress',
    'network-policies',
    'monolith',
    'gateway',
    'edge',
    'data',
  ],
  ...[
    'trivet',
    'admin',
    'root',
    'local',
    'restore',
    'mongo',
    'mongodb',
    'database',
    'db',
    'demo',
    'audit',
    'sample-item',
  ],
  ...[
    'oauth',
    'redis',
    'sentry',
    'amqp',
    'base',
    'planted',
    'leaking',
    'shelf',
    'greeter',
    'cup',
    'plate',
    'billing',
  ],
]

/** Words that TypeScript does not allow as the name of a constant or a type, or that would hide a global. */
const keywords = new Set(
  `abstract any arguments as async await boolean break case catch class const continue debugger declare default delete do else
  enum eval export extends false finally for from function get if implements import in instanceof interface is keyof let
  map namespace never new null number object of package private promise protected public readonly record return set
  static string super switch symbol this throw true try type typeof undefined unknown var void while with yield
  array date error buffer json math process request response url`.split(/\s+/),
)

/** What the program has already, which no new module may have again. */
interface Taken {
  modules: readonly string[]
  problemCodes: readonly string[]
}

/** The identifiers of a template, without its comments and strings. */
const identifiersOf = (template: string): string[] =>
  template.replace(/\/\*[\s\S]*?\*\/|\/\/.*|'[^'\n]*'|`[^`]*`/g, '').match(/(?<![.\w])[A-Za-z]\w*/g) ?? []

/** Says why a noun cannot be the name of a module, or its plural. */
export function faultOfNoun(noun: string): string | undefined {
  if (!nameFormat.test(noun))
    return 'must be a noun in lower case, whose words are joined by hyphens, such as review or gift-card'
  return noun.length > maxNameLength ? `must have ${maxNameLength} characters or fewer` : undefined
}

/**
 * Says why no module can have this name, whatever the program contains.
 * @param plural is given for a noun that is not regular
 */
export function faultOfName(name: string, plural?: string): string | undefined {
  const fault = faultOfNoun(name)
  if (fault !== undefined) return fault
  if (plural === undefined && /[^aisu]s$/.test(name))
    return 'must be a noun in the singular; the plural can be given after it'
  const isPlural = plural === undefined || faultOfNoun(plural) !== undefined || plural[0] === name[0]
  if (!isPlural)
    return `cannot have the plural ${plural}; if this is one name, a hyphen joins its words: ${name}-${plural}`
  if (reserved.includes(name)) return 'is reserved: the program or its deployment uses this name'
  if (keywords.has(name)) return 'is a word of TypeScript, or the name of a global'
  return undefined
}

/**
 * Says what in the checkout has a name already that the module would have.
 * @param templates the texts of the templates, whose own identifiers the name must not repeat
 * @returns undefined if every name is free
 */
export async function conflictOf(
  root: string,
  forms: NameForms,
  templates: readonly string[],
  { modules, problemCodes }: Taken,
): Promise<string | undefined> {
  const { kebab, camel, pascal, kebabPlural, camelPlural } = forms
  const read = (path: string) => readFile(join(root, path), 'utf8')
  const { paths, components } = JSON.parse(await read('docs/openapi.json'))
  const segments = Object.keys(paths).map((path) => path.split('/')[1])
  const schemas = Object.keys(components.schemas)
  const objects = await Promise.all(
    ['docker-compose.yml', 'deploy/mongodb/mongodb.yaml', 'deploy/components/monolith/monolith.yaml'].map(
      read,
    ),
  )
  const isObject = new RegExp(`^  ${kebab}:|metadata: \\{ name: ${kebab}[, }]`, 'm')
  const used = new Set(templates.flatMap(identifiersOf))
  const code = `${kebab.replaceAll('-', '_')}_not_found`

  if (existsSync(join(root, 'src/modules', kebab))) return `the folder src/modules/${kebab} exists already`
  if (modules.includes(kebab)) return `the registry has a module ${kebab} already`
  if (segments.includes(kebabPlural)) return `the path /${kebabPlural} exists already`
  if (problemCodes.includes(code)) return `the problem ${code} exists already`
  for (const schema of [pascal, `${pascal}Draft`])
    if (schemas.includes(schema)) return `the OpenAPI document has a schema ${schema} already`
  if (objects.some((text) => isObject.test(text)) || existsSync(join(root, `deploy/base/${kebab}.yaml`)))
    return `the deployment has an object with the name ${kebab} already`
  for (const identifier of [camel, pascal, camelPlural])
    if (used.has(identifier)) return `the code of every new module has another ${identifier}`
  return undefined
}
