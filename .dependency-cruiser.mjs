// Who may import what: `npm run boundaries`. Modules are matched by pattern, so that a new one is bound by every rule
// from its first file on. test/boundaries.test.ts plants a violation of each rule and sees it caught.

const tests = ['^test/', '\\.(test|suite)\\.ts$']

/** Installed packages, wherever node_modules is. */
const packages = (pattern) => `(^|/)node_modules/${pattern}`

const pinoPretty = packages('pino-pretty/')
const zodOpenapi = packages('@hono/zod-openapi/')
/** hono/jwt and what lies below it. */
const honoJwt = packages('hono/dist/(types/)?(middleware|utils)/(jwt|jwk)/')

/** HTTP in, HTTP out. */
const httpFiles = [
  '^src/modules/[^/]+/([^/]+\\.(api|routes)|http)\\.ts$',
  '^src/(app|browser-policy|front|listen|operator-routes)\\.ts$',
  '^src/kernel/(auth-guard|body-limit|client-address|http-errors|json-body|module|openapi|parameters|port-http|preconditions|request-context|response|router|service-credential)\\.ts$',
]

/** What is said about data: schemas, in zod as it comes with @hono/zod-openapi, so that routes can be made of them. */
const schemaFiles = [
  '^src/modules/[^/]+/(contract|settings|credentials|signing-keys)\\.ts$',
  '^src/kernel/(config|cursor|fault-messages|input-faults|port|retention|schemas)\\.ts$',
]

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'modules-meet-at-contracts',
      comment:
        "A module knows another one by its contract.ts alone: that is what lets each be deployed by itself. Put what you need into the other module's contract and have it passed in as a need. A test of two modules together belongs in test/.",
      severity: 'error',
      from: { path: '^src/modules/([^/]+)/' },
      to: { path: '^src/modules/', pathNot: ['^src/modules/$1/', '^src/modules/[^/]+/contract\\.ts$'] },
    },
    {
      name: 'contracts-carry-no-inside',
      comment:
        'A contract that imports from its module takes the inside along to everybody who imports it. Define the data here, and let the module import it from its contract.',
      severity: 'error',
      from: { path: '^src/modules/[^/]+/contract\\.ts$' },
      to: { path: '^src/modules/', pathNot: '/contract\\.ts$' },
    },
    {
      name: 'modules-stand-on-the-kernel',
      comment:
        'What is around the modules (the application, the process) knows them, not the other way round. Have it passed to `start`, or move to src/kernel/ what several modules need.',
      severity: 'error',
      from: { path: '^src/modules/', pathNot: tests },
      to: { path: '^src/', pathNot: '^src/(kernel|modules)/' },
    },
    {
      name: 'kernel-knows-nobody',
      comment:
        'The kernel is what every module needs and no module owns. Have what it needs passed in, or move the file to where its owner is.',
      severity: 'error',
      from: { path: '^src/kernel/', pathNot: tests },
      to: { path: '^src/', pathNot: '^src/kernel/' },
    },
    {
      name: 'registry-names-the-modules',
      comment:
        'Only src/registry.ts names the modules, so that adding one is a folder and a line. Take the list of modules as an argument.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/(modules|kernel)/', '^src/registry\\.ts$', ...tests] },
      to: { path: '^src/modules/' },
    },
    {
      name: 'registry-uses-the-front-door',
      comment:
        "A module's front door is its module.ts: register that, and let it put together what is behind.",
      severity: 'error',
      from: { path: '^src/registry\\.ts$' },
      to: { path: '^src/modules/', pathNot: '^src/modules/[^/]+/module\\.ts$' },
    },
    {
      name: 'mongoose-in-repositories',
      comment:
        'Only repositories (and src/kernel/mongo.ts below them) know the database driver; documents never leave them. Add a method to a *.repository.ts that takes and returns plain data.',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: [
          '\\.repository\\.ts$',
          '^src/kernel/(mongo|mongo-deployment|mongo-errors|stalled-transactions)\\.ts$',
          '^src/embedded/',
          ...tests,
        ],
      },
      to: { path: packages('(mongoose|mongodb)/') },
    },
    {
      name: 'hono-in-http-files',
      comment:
        'Rules and storage know no HTTP. Handle requests in *.api.ts, *.routes.ts, http.ts or the files around the modules, and hand plain data on.',
      severity: 'error',
      from: { path: '^src/', pathNot: [...httpFiles, ...tests] },
      to: { path: packages('(hono|@hono)/'), pathNot: [zodOpenapi, honoJwt] },
    },
    {
      name: 'schemas-in-schema-files',
      comment:
        'A schema describes what crosses a border: define it in the *.api.ts, contract.ts or settings.ts where that border is. A new kind of schema file (as credentials.ts is) is added to `schemaFiles` in .dependency-cruiser.mjs. Services and repositories take data that has been checked.',
      severity: 'error',
      from: { path: '^src/', pathNot: [...httpFiles, ...schemaFiles, ...tests] },
      to: { path: zodOpenapi },
    },
    {
      name: 'tokens-are-made-and-checked-in-one-place',
      comment:
        'Tokens are signed in tokens.ts and verified by the guards of the kernel. Use authGuard or credentialGuard, and take the principal from the context.',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: [
          '^src/modules/[^/]+/tokens\\.ts$',
          '^src/kernel/(auth-guard|service-credential)\\.ts$',
          ...tests,
        ],
      },
      to: { path: honoJwt },
    },
    {
      name: 'embedded-is-for-development',
      comment: 'Production runs without src/embedded/: take a MongoDB URI as an argument.',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: ['^src/(embedded|kernel|modules)/', '^src/(mongodb|split)\\.ts$', ...tests],
      },
      to: { path: '^src/embedded/' },
    },
    {
      name: 'mongodb-loads-embedded-on-demand',
      comment:
        "Production never gets as far as src/embedded/, and need not have its packages: use `await import('./embedded/...')` where there is no MONGODB_URI.",
      severity: 'error',
      from: { path: '^src/mongodb\\.ts$' },
      to: { path: '^src/embedded/', dynamic: false },
    },
    {
      name: 'split-is-for-development',
      comment:
        'The image has neither src/split.ts nor src/front.ts: share what both need in a file of its own.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/split\\.ts$', ...tests] },
      to: { path: '^src/(split|front)\\.ts$' },
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
      comment: 'How a log line looks is decided in src/kernel/logger.ts: take a Logger as an argument.',
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
    {
      name: 'program-runs-without-its-tests',
      comment: 'test/ is not deployed. Move to src/ what the program needs.',
      severity: 'error',
      from: { path: '^src/', pathNot: tests },
      to: { path: tests },
    },
    {
      name: 'no-cycle',
      comment:
        'Files that import each other, be it for their types alone, are one file in two places. Move what both need into a third one.',
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
      comment: 'It imports nothing and nothing imports it: use the file or delete it.',
      severity: 'error',
      from: { orphan: true },
      to: {},
    },
  ],
  options: {
    // `import type` counts: a type that leaks ties two modules together as well as a value does.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    // As Node.js would, and `types` for packages that are nothing but types.
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['node', 'import', 'default', 'types'],
    },
  },
}
