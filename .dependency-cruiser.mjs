// What each folder may import (`npm run boundaries`). The table comes first. Each of its rows becomes one rule,
// so that an import without a grant is forbidden. test/architecture/boundaries.test.ts plants a violation of
// every rule.

/**
 * Folders of src/ and what each may import of the other files in src/. A file belongs to the first row whose path matches.
 * A file may always import its own folder and the folders below it. `$1` is the name of the module that the file is part of.
 */
const grants = [
  {
    folder: 'contract',
    files: 'modules/[^/]+/contract\\.ts$',
    may: ['kernel/', 'modules/[^/]+/contract\\.ts$'],
    instead:
      'A contract that imports from its module takes the inside along to each module that imports it. Define the data in contract.ts, and let the module import it from there.',
  },
  {
    folder: 'module',
    files: 'modules/([^/]+)/',
    may: ['kernel/', 'modules/$1/', 'modules/[^/]+/contract\\.ts$'],
    instead:
      "A module uses the kernel and the contract.ts of other modules, so that each can be deployed by itself. Put what is needed into the other module's contract and have it passed in as a need. A test of two modules belongs in test/.",
  },
  {
    folder: 'kernel-config',
    files: 'kernel/config/',
    may: ['kernel/[^/]+$', 'kernel/config/'],
    instead: 'kernel/config/ is below HTTP and MongoDB: move what is shared to the root of the kernel.',
  },
  {
    folder: 'kernel-http',
    files: 'kernel/http/',
    may: ['kernel/[^/]+$', 'kernel/config/', 'kernel/http/'],
    instead:
      'HTTP and MongoDB never meet in the kernel: have it passed in, or move it to the root of the kernel.',
  },
  {
    folder: 'kernel-ports',
    files: 'kernel/ports/',
    may: ['kernel/[^/]+$', 'kernel/config/', 'kernel/http/', 'kernel/ports/'],
    instead: 'A port crosses HTTP and no database: have it passed in.',
  },
  {
    folder: 'kernel-mongo',
    files: 'kernel/mongo/',
    may: ['kernel/[^/]+$', 'kernel/config/', 'kernel/mongo/'],
    instead:
      'HTTP and MongoDB never meet in the kernel: have it passed in, or move it to the root of the kernel.',
  },
  {
    folder: 'kernel-module',
    files: 'kernel/module\\.ts$',
    may: ['kernel/'],
    instead: 'kernel/module.ts names the types of the kernel and nothing else.',
  },
  {
    folder: 'kernel-root',
    files: 'kernel/[^/]+$',
    may: ['kernel/[^/]+$', 'kernel/config/'],
    instead:
      'The root of the kernel is what its folders stand on, and it knows none of them. Move the file into the folder that it needs, or have the dependency passed in.',
  },
  {
    folder: 'http',
    files: 'http/',
    may: ['kernel/', 'http/'],
    instead: 'The application around the modules takes them as arguments: only src/registry.ts names them.',
  },
  {
    folder: 'registry',
    files: 'registry\\.ts$',
    may: ['kernel/module\\.ts$', 'modules/[^/]+/module\\.ts$'],
    instead: "The registry names each module.ts, which is a module's only way in.",
  },
  {
    folder: 'embedded',
    files: 'embedded/',
    may: ['embedded/'],
    instead:
      'The embedded MongoDB is a program of its own and knows nothing of Trivet: take the value as an argument.',
  },
  {
    folder: 'host',
    files: 'host/',
    may: ['kernel/', 'http/', 'host/', 'registry\\.ts$', 'embedded/'],
    instead:
      'A host turns the modules of the registry into a process: take the list of modules as an argument.',
  },
  {
    folder: 'cli',
    files: 'cli/',
    may: ['kernel/', 'host/', 'cli/', 'registry\\.ts$'],
    instead: 'A command works through the composition that src/host/ makes: put what it needs there.',
  },
  {
    folder: 'dev',
    files: 'dev/',
    may: ['kernel/', 'http/', 'host/', 'dev/', 'embedded/', 'registry\\.ts$'],
    instead: 'The split shape starts the program and routes to it: take the list of modules as an argument.',
  },
  {
    folder: 'main',
    files: 'main\\.ts$',
    may: ['host/'],
    instead: 'src/main.ts starts the process: what a process does is in src/host/.',
  },
  {
    folder: 'other',
    files: '',
    may: [],
    instead:
      'This folder has no row in the table of .dependency-cruiser.mjs: move the file to a folder that has, or add a row.',
  },
]

/** Tests may import whatever they test, but for the inside of another module. */
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

/** Installed packages, wherever node_modules is. */
const packages = (pattern) => `(^|/)node_modules/${pattern}`
const pinoPretty = packages('pino-pretty/')
const zodOpenapi = packages('@hono/zod-openapi/')
const hono = packages('(hono|@hono)/')
/** hono/jwt and what lies below it. */
const honoJwt = packages('hono/dist/(types/)?(middleware|utils)/(jwt|jwk)/')

/** Files that take HTTP requests and make HTTP answers. */
const httpFiles = [
  '^src/(http|kernel/http)/',
  '^src/kernel/module\\.ts$',
  '^src/kernel/ports/service-credential\\.ts$',
  '^src/dev/gateway\\.ts$',
  '^src/modules/[^/]+/([^/]+\\.(api|routes)|http)\\.ts$',
]

/** Files that describe data: schemas, in zod as it comes with @hono/zod-openapi, so that routes can be made of them. */
const schemaFiles = [
  '^src/modules/.+/(contract|settings|credentials|signing-keys|problems)\\.ts$',
  '^src/kernel/(public-key|schemas|validation-messages)\\.ts$',
  '^src/kernel/config/(general-settings|load-config|settings-reader|values)\\.ts$',
  '^src/kernel/ports/(port|port-http)\\.ts$',
  '^src/kernel/mongo/retention\\.ts$',
]

/** Packages of which only some files know. */
const packageRules = [
  {
    name: 'mongoose-in-repositories',
    comment:
      'Only repositories and src/kernel/mongo/ know the database driver, and documents never leave them. Add a method to a *.repository.ts that takes and returns plain data.',
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
      'Rules and storage know no HTTP. Handle requests in *.api.ts, *.routes.ts, http.ts or src/http/, and pass plain data on.',
    severity: 'error',
    from: { path: '^src/', pathNot: [...httpFiles, ...tests] },
    to: { path: hono, pathNot: [zodOpenapi, honoJwt] },
  },
  {
    name: 'schemas-in-schema-files',
    comment:
      'A schema describes data that crosses a boundary: define it in the *.api.ts, contract.ts or settings.ts of that boundary. A new kind of schema file is added to `schemaFiles` in .dependency-cruiser.mjs. Services and repositories take data that was checked.',
    severity: 'error',
    from: { path: '^src/', pathNot: [...httpFiles, ...schemaFiles, ...tests] },
    to: { path: zodOpenapi },
  },
  {
    name: 'tokens-are-made-and-checked-in-one-place',
    comment:
      'Tokens are signed in access-tokens.ts and verified by the guards of the kernel. Use authGuard or credentialGuard, and take the principal from the context.',
    severity: 'error',
    from: {
      path: '^src/',
      pathNot: [
        '^src/modules/[^/]+/sessions/access-tokens\\.ts$',
        '^src/kernel/(http/auth-guard|ports/service-credential)\\.ts$',
        ...tests,
      ],
    },
    to: { path: honoJwt },
  },
  {
    name: 'no-dev-dependency-in-production',
    comment:
      'Production installs with --omit=dev, and this import would stop its boot. Move the package to `dependencies` in package.json, or do without it.',
    severity: 'error',
    from: { path: '^src/', pathNot: ['^src/embedded/', ...tests] },
    to: { dependencyTypes: ['npm-dev'], pathNot: pinoPretty },
  },
  {
    name: 'pino-pretty-in-the-logger',
    comment: 'src/kernel/logger.ts decides how a log line looks: take a Logger as an argument.',
    severity: 'error',
    from: { path: '^src/', pathNot: ['^src/kernel/logger\\.ts$', ...tests] },
    to: { path: pinoPretty },
  },
  {
    name: 'logger-loads-pino-pretty-on-demand',
    comment:
      "pino-pretty is not installed in production: use `await import('pino-pretty')` where a person reads the log.",
    severity: 'error',
    from: { path: '^src/kernel/logger\\.ts$' },
    to: { path: pinoPretty, dynamic: false },
  },
  {
    name: 'no-undeclared-dependency',
    comment:
      'A package that package.json does not name is there by chance, as the dependency of another one. Install it (npm install), or use what the declared package exports, such as `mongo` of mongoose.',
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
      'Modules that share a process call a contract without HTTP, so that neither it nor what it imports may need Hono. Move what is needed to a file without HTTP.',
    severity: 'error',
    from: { path: '^src/modules/[^/]+/contract\\.ts$' },
    to: { path: hono.replace('(hono|@hono)', '(hono|@hono/node-server)'), reachable: true },
  },
  {
    name: 'routes-use-no-repository',
    comment: 'A route calls the service or the use case of its module. Move its rules and its queries there.',
    severity: 'error',
    from: { path: '^src/modules/.+\\.(routes|api)\\.ts$' },
    to: { path: '\\.repository\\.ts$' },
  },
  {
    name: 'decisions-use-no-repository',
    comment:
      'Decision code works on plain data, so that a test needs no database. Move domain types to the domain file (order.ts, stock.ts), and pass in what was read.',
    severity: 'error',
    from: { path: '^src/modules/.+/(stock-batch|order-status|order|stock|product|user)\\.ts$' },
    to: { path: '\\.repository\\.ts$' },
  },
  {
    name: 'host-loads-embedded-on-demand',
    comment:
      "Production has neither src/embedded/ nor its packages: use `await import('../embedded/...')` where there is no MONGODB_URI.",
    severity: 'error',
    from: { path: '^src/host/', pathNot: tests },
    to: { path: '^src/embedded/', dynamic: false },
  },
  {
    name: 'program-runs-without-its-tests',
    comment: 'test/ is not deployed. Move to src/ what the program needs.',
    severity: 'error',
    from: { path: '^src/', pathNot: tests },
    to: { path: tests },
  },
  {
    name: 'tests-of-a-module-stay-in-it',
    comment:
      "A test beside a module's files knows other modules by their contract.ts. Move a test of two modules to test/.",
    severity: 'error',
    from: { path: '^src/modules/([^/]+)/.+\\.(test|suite)\\.ts$' },
    to: { path: '^src/modules/', pathNot: ['^src/modules/$1/', '^src/modules/[^/]+/contract\\.ts$'] },
  },
  {
    name: 'no-cycle',
    comment:
      'Files that import each other, even for their types alone, are one file in two places. Move what both need into a third one.',
    severity: 'error',
    from: {},
    to: { circular: true },
  },
  {
    name: 'no-unresolvable-import',
    comment: 'There is nothing at the end of this import: correct the path, or install the package.',
    severity: 'error',
    from: {},
    to: { couldNotResolve: true },
  },
  {
    name: 'no-orphan',
    comment: 'The file imports nothing and nothing imports it: use it or delete it.',
    severity: 'error',
    from: { orphan: true },
    to: {},
  },
]

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [...granted, ...packageRules, ...fileRules],
  options: {
    // `import type` counts: a type that leaks ties two modules together as much as a value does.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    // The resolution of Node.js, and `types` for packages that contain only types.
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['node', 'import', 'default', 'types'],
    },
  },
}
