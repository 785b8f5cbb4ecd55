// What each folder may import (`npm run boundaries` checks it). Each row of the first table becomes one rule, which forbids
// every import that the row does not grant. test/architecture/boundaries.test.ts plants a violation of every rule.

/**
 * What the files of each folder of src/ may import from src/. A file belongs to the first row whose `files` matches its path.
 * `$1` is the name of the file's module. `instead` tells an author what to do about a violation.
 */
const grants = [
  {
    folder: 'contract',
    files: 'modules/[^/]+/contract\\.ts$',
    may: ['kernel/', 'modules/[^/]+/contract\\.ts$'],
    instead:
      'Each module that imports this contract would also import the inner files of its module. Define the data in contract.ts, and let the module import it from there.',
  },
  {
    folder: 'module',
    files: 'modules/([^/]+)/',
    may: ['kernel/', 'modules/$1/', 'modules/[^/]+/contract\\.ts$'],
    instead:
      "A module uses the kernel and the contract.ts of other modules, so that each module can be deployed by itself. Add the operation to the other module's contract, and take its port as a need. A test of two modules belongs in test/.",
  },
  {
    folder: 'kernel-config',
    files: 'kernel/config/',
    may: ['kernel/[^/]+$', 'kernel/config/'],
    instead: 'kernel/config/ uses neither HTTP nor MongoDB. Move what is shared to the root of the kernel.',
  },
  {
    folder: 'kernel-http',
    files: 'kernel/http/',
    may: ['kernel/[^/]+$', 'kernel/config/', 'kernel/http/'],
    instead:
      'kernel/http/ and kernel/mongo/ do not import each other. Take the dependency as an argument, or move it to the root of the kernel.',
  },
  {
    folder: 'kernel-ports',
    files: 'kernel/ports/',
    may: ['kernel/[^/]+$', 'kernel/config/', 'kernel/http/', 'kernel/ports/'],
    instead: 'A port uses HTTP and no database. Take the dependency as an argument.',
  },
  {
    folder: 'kernel-mongo',
    files: 'kernel/mongo/',
    may: ['kernel/[^/]+$', 'kernel/config/', 'kernel/mongo/'],
    instead:
      'kernel/http/ and kernel/mongo/ do not import each other. Take the dependency as an argument, or move it to the root of the kernel.',
  },
  {
    folder: 'kernel-module',
    files: 'kernel/module\\.ts$',
    may: ['kernel/'],
    instead: 'kernel/module.ts names only types of the kernel.',
  },
  {
    folder: 'kernel-root',
    files: 'kernel/[^/]+$',
    may: ['kernel/[^/]+$', 'kernel/config/'],
    instead:
      'The folders of the kernel import its root, so the root imports none of them except config/. Move the file into the folder that it needs, or take the dependency as an argument.',
  },
  {
    folder: 'http',
    files: 'http/',
    may: ['kernel/', 'http/'],
    instead: 'The HTTP application takes the modules as arguments. Only src/registry.ts names them.',
  },
  {
    folder: 'registry',
    files: 'registry\\.ts$',
    may: ['kernel/module\\.ts$', 'modules/[^/]+/module\\.ts$'],
    instead: 'The registry imports only the module.ts of each module.',
  },
  {
    folder: 'embedded',
    files: 'embedded/',
    may: ['embedded/'],
    instead: 'The embedded MongoDB does not depend on Trivet. Take the value as an argument.',
  },
  {
    folder: 'host',
    files: 'host/',
    may: ['kernel/', 'http/', 'host/', 'embedded/'],
    instead: 'The host turns any list of modules into a process. Take the list of modules as an argument.',
  },
  {
    folder: 'cli',
    files: 'cli/',
    may: ['kernel/', 'host/', 'cli/', 'registry\\.ts$'],
    instead:
      'A command works through the composition that src/host/ makes. Add what the command needs there.',
  },
  {
    folder: 'dev',
    files: 'dev/',
    may: ['kernel/', 'http/', 'host/', 'dev/', 'embedded/', 'registry\\.ts$'],
    instead:
      'These tools start the program as child processes. Put what the program itself needs into src/host/.',
  },
  {
    folder: 'main',
    files: 'main\\.ts$',
    may: ['host/', 'registry\\.ts$'],
    instead: 'src/main.ts only starts the process. Put what a process does into src/host/.',
  },
  {
    folder: 'other',
    files: '',
    may: [],
    instead:
      'This folder has no row in the table of .dependency-cruiser.mjs. Move the file to a folder that has a row, or add a row.',
  },
]

/** Tests may import what they test. The rule tests-of-a-module-stay-in-it limits them. */
const tests = ['^test/', '\\.(test|suite)\\.ts$']

const granted = grants.map(({ folder, files, may, instead }, at) => ({
  name: `folder-${folder}`,
  comment: instead,
  severity: 'error',
  from: {
    path: `^src/${files}`,
    pathNot: [...grants.slice(0, at).map((row) => `^src/${row.files}`), ...tests],
  },
  to: { path: '^src/', ...(may.length > 0 && { pathNot: may.map((path) => `^src/${path}`) }) },
}))

/** Matches installed packages in any node_modules folder. */
const packages = (pattern) => `(^|/)node_modules/${pattern}`
const pinoPretty = packages('pino-pretty/')
const zodOpenapi = packages('@hono/zod-openapi/')
const hono = packages('(hono|@hono)/')
/** hono/jwt and the files that it uses. */
const honoJwt = packages('hono/dist/(types/)?(middleware|utils)/(jwt|jwk)/')

/** Files that handle HTTP requests. */
const httpFiles = [
  '^src/(http|kernel/http)/',
  '^src/kernel/module\\.ts$',
  '^src/kernel/ports/service-credential\\.ts$',
  '^src/dev/gateway\\.ts$',
  '^src/modules/[^/]+/([^/]+\\.(api|routes)|http)\\.ts$',
]

/** Files that define zod schemas. They import zod from @hono/zod-openapi, so that routes can use the schemas. */
const schemaFiles = [
  '^src/modules/.+/(contract|settings|credentials|signing-keys|problems|[^/]+\\.schemas)\\.ts$',
  '^src/kernel/(public-key|schemas|validation-messages)\\.ts$',
  '^src/kernel/config/(general-settings|load-config|settings-reader|values)\\.ts$',
  '^src/kernel/ports/(port|port-http)\\.ts$',
  '^src/kernel/mongo/retention\\.ts$',
]

/** Packages that only some files may import. */
const packageRules = [
  {
    name: 'mongoose-in-repositories',
    comment:
      'Only repositories and src/kernel/mongo/ use the database driver, and no document leaves them. Add a method to a *.repository.ts that takes and returns plain data.',
    severity: 'error',
    from: {
      path: '^src/',
      pathNot: ['\\.repository\\.ts$', '^src/kernel/mongo/', '^src/embedded/', ...tests],
    },
    to: { path: packages('(mongoose|mongodb)/') },
  },
  {
    name: 'hono-in-http-files',
    comment:
      'Domain rules and storage do not depend on HTTP. Handle requests in *.api.ts, *.routes.ts, http.ts or src/http/, and pass plain data on.',
    severity: 'error',
    from: { path: '^src/', pathNot: [...httpFiles, ...tests] },
    to: { path: hono, pathNot: [zodOpenapi, honoJwt] },
  },
  {
    name: 'schemas-in-schema-files',
    comment:
      'A schema describes data that crosses a boundary: define it in the *.schemas.ts, contract.ts or settings.ts of that boundary. A new kind of schema file is added to `schemaFiles` in .dependency-cruiser.mjs. Services and repositories take data that was checked.',
    severity: 'error',
    from: { path: '^src/', pathNot: [...httpFiles, ...schemaFiles, ...tests] },
    to: { path: zodOpenapi },
  },
  {
    name: 'tokens-are-made-and-checked-in-one-place',
    comment:
      'Tokens are signed in access-token-issuer.ts and verified by the guards of the kernel. Use authGuard or credentialGuard, and take the principal from the context.',
    severity: 'error',
    from: {
      path: '^src/',
      pathNot: [
        '^src/modules/[^/]+/sessions/access-token-issuer\\.ts$',
        '^src/kernel/(http/auth-guard|ports/service-credential)\\.ts$',
        ...tests,
      ],
    },
    to: { path: honoJwt },
  },
  {
    name: 'no-dev-dependency-in-production',
    comment:
      'Production installs packages with --omit=dev, so this import would fail at boot. Move the package to `dependencies` in package.json, or remove the import.',
    severity: 'error',
    from: { path: '^src/', pathNot: ['^src/embedded/', ...tests] },
    to: { dependencyTypes: ['npm-dev'], pathNot: pinoPretty },
  },
  {
    name: 'pino-pretty-in-the-logger',
    comment: 'src/kernel/logger.ts formats log lines. Take a Logger as an argument.',
    severity: 'error',
    from: { path: '^src/', pathNot: ['^src/kernel/logger\\.ts$', ...tests] },
    to: { path: pinoPretty },
  },
  {
    name: 'logger-loads-pino-pretty-on-demand',
    comment:
      "pino-pretty is not installed in production. Load it on demand with `await import('pino-pretty')`.",
    severity: 'error',
    from: { path: '^src/kernel/logger\\.ts$' },
    to: { path: pinoPretty, dynamic: false },
  },
  {
    name: 'opentelemetry-in-the-exporter',
    comment:
      'The kernel has its own interface for spans (src/kernel/span.ts), so that OpenTelemetry costs nothing while it is off. Take a Span from the call.',
    severity: 'error',
    from: { path: '^src/', pathNot: ['^src/host/otlp-[^/]+\\.ts$', ...tests] },
    to: { path: packages('@opentelemetry/') },
  },
  {
    name: 'opentelemetry-is-loaded-on-demand',
    comment:
      "OpenTelemetry is loaded only if the environment asks for it. Load src/host/otlp-tracing.ts on demand with `await import('./otlp-tracing.ts')`.",
    severity: 'error',
    from: { path: '^src/', pathNot: ['^src/host/otlp-[^/]+\\.ts$', ...tests] },
    to: { path: '^src/host/otlp-', dynamic: false },
  },
  {
    name: 'no-undeclared-dependency',
    comment:
      'A package that package.json does not name is only installed as a dependency of another package. Install it (npm install), or use an export of the declared package, such as `mongo` of mongoose.',
    severity: 'error',
    from: {},
    to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'], couldNotResolve: false },
  },
]

/** Rules about files of a kind within their folder. */
const fileRules = [
  {
    name: 'contracts-reach-no-http',
    comment:
      'Modules in one process use a contract without HTTP, so neither the contract nor its imports may load Hono. Move the imported code to a file without HTTP.',
    severity: 'error',
    from: { path: '^src/modules/[^/]+/contract\\.ts$' },
    to: { path: hono.replace('(hono|@hono)', '(hono|@hono/node-server)'), reachable: true },
  },
  {
    name: 'routes-use-no-repository',
    comment: 'A route calls the service or a use case of its module. Move rules and queries there.',
    severity: 'error',
    from: { path: '^src/modules/.+\\.(routes|api)\\.ts$' },
    to: { path: '\\.repository\\.ts$' },
  },
  {
    name: 'decisions-use-no-repository',
    comment:
      'Decision code works on plain data, so that its tests need no database. Move domain types to the domain file (order.ts, stock.ts), and take the data as an argument.',
    severity: 'error',
    from: {
      path: '^src/modules/.+/(stock-batch|stock-operation|product-states|product-update|order-status|order|stock|product|user)\\.ts$',
    },
    to: { path: '\\.repository\\.ts$' },
  },
  {
    name: 'host-loads-embedded-on-demand',
    comment:
      "Production has neither src/embedded/ nor its packages. Load it on demand with `await import('../embedded/...')` if MONGODB_URI is not set.",
    severity: 'error',
    from: { path: '^src/host/', pathNot: tests },
    to: { path: '^src/embedded/', dynamic: false },
  },
  {
    name: 'program-runs-without-its-tests',
    comment: 'test/ is not deployed. Move the code that the program needs to src/.',
    severity: 'error',
    from: { path: '^src/', pathNot: tests },
    to: { path: tests },
  },
  {
    name: 'tests-of-a-module-stay-in-it',
    comment:
      "A test in a module's folder may import only the contract.ts of other modules. Move a test of two modules to test/.",
    severity: 'error',
    from: { path: '^src/modules/([^/]+)/.+\\.(test|suite)\\.ts$' },
    to: { path: '^src/modules/', pathNot: ['^src/modules/$1/', '^src/modules/[^/]+/contract\\.ts$'] },
  },
  {
    name: 'no-cycle',
    comment:
      'Files that import each other, even only for types, cannot be read or moved separately. Move what both need into a third file.',
    severity: 'error',
    from: {},
    to: { circular: true },
  },
  {
    name: 'no-unresolvable-import',
    comment: 'The import leads to no file and no package. Correct the path, or install the package.',
    severity: 'error',
    from: {},
    to: { couldNotResolve: true },
  },
  {
    name: 'no-orphan',
    comment: 'The file imports nothing, and no file imports it. Use it or delete it.',
    severity: 'error',
    from: { orphan: true },
    to: {},
  },
]

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [...granted, ...packageRules, ...fileRules],
  options: {
    // `import type` counts, because a shared type couples two modules as much as a shared value.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    // These programs import generated code.
    exclude: { path: '^test/contract/clients/' },
    // The resolution of Node.js, and `types` for packages that contain only types.
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['node', 'import', 'default', 'types'],
    },
  },
}
