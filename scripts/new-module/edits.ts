/** Gives a template the name of the module. */
type Fill = (template: string) => string
/** Returns a file's text with a change. */
type Edit = (text: string, file: string, fill: Fill) => string

/** @throws Error if the place does not occur exactly once, so that nothing is written at a wrong place */
function placeOf(text: string, place: string | RegExp, file: string): { start: number; end: number } {
  const source = typeof place === 'string' ? place.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&') : place.source
  const [found, ...others] = [...text.matchAll(new RegExp(source, 'gm'))]
  if (!found || others.length > 0)
    throw new Error(
      `${file} must have this place once, and has it ${found ? 'several times' : 'nowhere'}: ${place}`,
    )
  return { start: found.index, end: found.index + found[0].length }
}

const before =
  (place: string | RegExp, lines: string): Edit =>
  (text, file, fill) => {
    const { start } = placeOf(text, place, file)
    return text.slice(0, start) + fill(lines) + text.slice(start)
  }

const after =
  (place: string | RegExp, lines: string): Edit =>
  (text, file, fill) => {
    const { end } = placeOf(text, place, file)
    return text.slice(0, end) + fill(lines) + text.slice(end)
  }

const atEnd =
  (lines: string): Edit =>
  (text, _file, fill) =>
    text + fill(lines)

/** Adds an entry to the end of a list or an object without nested ones. @param opening the text up to its first entry */
const intoList =
  (opening: string, entry: string): Edit =>
  (text, file, fill) => {
    const { end } = placeOf(text, opening, file)
    const length = text.slice(end).search(/[\]}]/)
    const entries = text
      .slice(end, end + length)
      .trimEnd()
      .replace(/,$/, '')
    const separator = entries.trim() === '' ? '' : ', '
    return text.slice(0, end) + entries + separator + fill(entry) + text.slice(end + length)
  }

const codeEdits: Record<string, Edit[]> = {
  'src/registry.ts': [
    before(
      '\n/** Every module of the program.',
      "import { sampleItem } from './modules/sample-item/module.ts'\n",
    ),
    intoList('readonly AnyModule[] = [', 'sampleItem'),
  ],
  // The domain file of the module uses no repository.
  '.dependency-cruiser.mjs': [after('|order-status|order|stock|product|user', '|sample-item')],
  'src/http/openapi-document.ts': [
    before(
      "      { name: 'Operations'",
      "      { name: 'Sample items', description: 'Creating and reading sample items.' },\n",
    ),
  ],
  'test/support/added-routes.ts': [
    before(
      "import type { Access, MakeRequest, RouteTests } from './route-tests.ts'",
      "import { sampleItemRouteTests } from '#src/modules/sample-item/routes.suite.ts'\n",
    ),
    intoList('const ofModules = {', 'sampleItem: sampleItemRouteTests'),
  ],
  'test/deployment/manifests/network-policies.suite.ts': [
    before('          // Calls of further modules follow.', "          'sample-item → auth 3000/TCP',\n"),
  ],
}

const kubernetesEdits: Record<string, Edit[]> = {
  'deploy/base/kustomization.yaml': [before('  - any-service.yaml', '  - sample-item.yaml\n')],
  'deploy/base/ingress.yaml': [
    before(
      '          - path: /docs\n',
      `          - path: /sample-items
            pathType: Prefix
            backend: { service: { name: sample-item, port: { name: http } } }
`,
    ),
  ],
  'deploy/components/monolith/ingress.yaml': [
    before(
      '          - { path: /docs,',
      '          - { path: /sample-items, pathType: Prefix, backend: *monolith }\n',
    ),
  ],
  'deploy/base/network-policies.yaml': [
    after(
      /^ {2}name: auth\nspec:\n(?: .*\n)*? {4}- from:\n(?: {8}- .*\n)+/,
      '        - podSelector: { matchLabels: { app.kubernetes.io/name: sample-item } }\n',
    ),
    atEnd(`---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: sample-item
spec:
  podSelector: { matchLabels: { app.kubernetes.io/name: sample-item } }
  policyTypes: [Egress]
  egress:
    - to:
        - podSelector: { matchLabels: { app.kubernetes.io/name: auth } }
      ports: [{ protocol: TCP, port: 3000 }]
`),
  ],
  'deploy/base/secrets.example': [
    before(
      '---\n# Signs the calls between services.',
      `---
apiVersion: v1
kind: Secret
metadata: { name: trivet-sample-item, namespace: trivet }
data:
  MONGODB_URI: <mongodb://... with the account of sample-item>
`,
    ),
    before('  MONOLITH_PASSWORD:', '  SAMPLE_ITEM_PASSWORD: <the password of the user sample-item>\n'),
  ],
  'deploy/mongodb/mongodb.yaml': [
    before(
      '            - name: MONOLITH_PASSWORD\n',
      `            - name: SAMPLE_ITEM_PASSWORD
              valueFrom: { secretKeyRef: { name: mongodb, key: SAMPLE_ITEM_PASSWORD } }
`,
    ),
  ],
}

/** The column of the services in the map of NGINX. */
const serviceColumn = 68

const composeEdits: Record<string, Edit[]> = {
  'docker-compose.yml': [
    before(
      '  nginx:\n    image',
      `  sample-item:
    <<: *replicas
    environment:
      <<: *split-settings
      SERVICE: sample-item
      INTERNAL_SECRET_FILE: /run/secrets/trivet/INTERNAL_SECRET
    volumes: ['secrets-sample-item:/run/secrets/trivet:ro']

`,
    ),
    before(
      '      MONOLITH_PASSWORD_FILE:',
      '      SAMPLE_ITEM_PASSWORD_FILE: /run/secrets/trivet/SAMPLE_ITEM_PASSWORD\n',
    ),
    after('      - secrets-order:/secrets/order\n', '      - secrets-sample-item:/secrets/sample-item\n'),
    atEnd('  secrets-sample-item:\n'),
  ],
  'deploy/generate-secrets.mjs': [intoList('const services = [', "'sample-item'")],
  'deploy/mongodb/initiate.js': [intoList('const databases = [', "'sample-item'")],
  'deploy/nginx/nginx.conf.template': [
    (text, file, fill) => {
      const path = fill('        ~^/sample-items(/|$)').padEnd(serviceColumn)
      return before(/ +~\^\/\(internal\|metrics\)/, `${path}sample-item;\n`)(text, file, fill)
    },
  ],
  'deploy/monitoring/prometheus.yml': [intoList('- names: [trivet, ', 'sample-item')],
  'deploy/rolling-update.sh': [
    before(/(?<=grep -qxE 'trivet\|[^']*)'; then$/, '|sample-item'),
    before(/(?<=^for service in auth [^;]*); do$/, ' sample-item'),
  ],
}

/** The changes of each file that exists. */
const edits: Record<string, Edit[]> = { ...codeEdits, ...kubernetesEdits, ...composeEdits }

/** The names of the files that `editedFile` changes. */
export const editedFiles = Object.keys(edits)

/** The text of one of `editedFiles` with a further module. @throws Error if the file does not have a place for it */
export const editedFile = (file: string, text: string, fill: Fill): string =>
  (edits[file] ?? []).reduce((edited, edit) => edit(edited, file, fill), text)
