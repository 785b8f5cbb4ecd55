import { execFile } from 'node:child_process'
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ICruiseResult } from 'dependency-cruiser'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

/** What is added to which file of a copy of the program, and the rules that it breaks. */
interface Plant {
  file: string
  code: string
  breaks: string[]
}

const violations: Plant[] = [
  ...breaking('folder-module', {
    'src/modules/order/planted-type.ts':
      "import type { ProductRepository } from '../product/product.repository.ts'",
    'src/modules/order/planted-type-expression.ts':
      "export type Issuer = import('../auth/sessions/access-token-issuer.ts').TokenIssuer",
    'src/modules/order/planted-reexport.ts': "export * from '../product/product.ts'",
    'src/modules/order/planted-entrance.ts': "import { auth } from '../auth/module.ts'",
    'src/modules/planted/on-demand.ts': "export const later = () => import('../product/product.service.ts')",
    'src/modules/planted/listening.ts': "import { listen } from '../../http/server.ts'",
    'src/modules/planted/embedding.ts': "import { freePort } from '../../embedded/mongod.ts'",
    'src/modules/planted/deep/registered.ts': "import { registry } from '../../../registry.ts'",
  }),
  ...breaking('folder-contract', {
    'src/modules/leaking/contract.ts': "export type { Cup } from './cup.ts'",
  }),
  ...breaking('folder-kernel-root', {
    'src/kernel/planted-contract.ts': "import type { ProductPort } from '../modules/product/contract.ts'",
    'src/kernel/planted-registry.ts': "import { registry } from '../registry.ts'",
    'src/kernel/planted-embedded.ts': "import { freePort } from '../embedded/mongod.ts'",
    'src/kernel/planted-database.ts': "import type { Database } from './mongo/database.ts'",
    'src/kernel/planted-router.ts': "import { createRouter } from '#kernel/http/router.ts'",
    'src/kernel/planted-port.ts': "import type { Port } from './ports/port.ts'",
  }),
  ...breaking('folder-kernel-module', {
    'src/kernel/module.ts': "import { freePort } from '../embedded/free-port.ts'",
  }),
  ...breaking('folder-kernel-config', {
    'src/kernel/config/planted-address.ts': "import { createClientOf } from '../http/client-address.ts'",
    'src/kernel/config/planted-database.ts': "import type { Database } from '#kernel/mongo/database.ts'",
  }),
  ...breaking('folder-kernel-http', {
    'src/kernel/http/planted-database.ts': "import type { Database } from '../mongo/database.ts'",
    'src/kernel/http/planted-client.ts': "import { createHttpClient } from '#kernel/ports/http-client.ts'",
  }),
  ...breaking('folder-kernel-mongo', {
    'src/kernel/mongo/planted-page.ts': "import type { Page } from '../http/paging.ts'",
    'src/kernel/mongo/planted-port.ts': "import type { Port } from '#kernel/ports/port.ts'",
  }),
  ...breaking('folder-kernel-ports', {
    'src/kernel/ports/planted-database.ts': "import type { Database } from '../mongo/database.ts'",
  }),
  ...breaking('folder-http', {
    'src/http/planted-module.ts': "import { product } from '../modules/product/module.ts'",
    'src/http/planted-contract.ts': "import type { AuthPort } from '../modules/auth/contract.ts'",
    'src/http/planted-registry.ts': "import { registry } from '../registry.ts'",
    'src/http/planted-host.ts': "import type { Composition } from '../host/compose.ts'",
    'src/http/planted-gateway.ts': "export const later = () => import('../dev/gateway.ts')",
  }),
  ...breaking('folder-registry', {
    'src/registry.ts': "import { productApi } from './modules/product/product.api.ts'",
  }),
  ...breaking('folder-embedded', {
    'src/embedded/planted-module.ts': "import { product } from '../modules/product/module.ts'",
    'src/embedded/planted-kernel.ts': "import type { Logger } from '#kernel/logger.ts'",
  }),
  ...breaking('folder-host', {
    'src/host/planted-module.ts': "import { product } from '../modules/product/module.ts'",
    'src/host/planted-command.ts': "import { readSecret } from '../cli/terminal.ts'",
    'src/host/planted-split.ts': "export const later = () => import('../dev/split.ts')",
  }),
  ...breaking('folder-cli', {
    'src/cli/planted-gateway.ts': "import { createGateway } from '../dev/gateway.ts'",
    'src/cli/planted-listener.ts': "import type { Listener } from '../http/server.ts'",
    'src/cli/planted-embedded.ts': "export const later = () => import('../embedded/mongod.ts')",
  }),
  ...breaking('folder-dev', {
    'src/dev/planted-command.ts': "import { readSecret } from '../cli/terminal.ts'",
    'src/dev/planted-module.ts': "import { order } from '../modules/order/module.ts'",
  }),
  ...breaking('folder-main', {
    'src/main.ts': "import { loadConfig } from '#kernel/config/load-config.ts'",
  }),
  ...breaking('folder-other', {
    'src/planted-alone.ts': "import { registry } from './registry.ts'",
    'src/tools/planted-tool.ts': "import { toDecimal } from '#kernel/money.ts'",
  }),
  ...breaking('mongoose-in-repositories', {
    'src/modules/planted/mongoose.service.ts': "import mongoose from 'mongoose'",
    'src/modules/order/planted-place-order.ts': "import type { ClientSession } from 'mongoose'",
    'src/modules/planted/migrations.ts': "import { Schema } from 'mongoose'",
    'src/kernel/planted-mongo.ts': "import { mongo } from 'mongoose'",
    'src/host/planted-mongo.ts': "import { mongo } from 'mongoose'",
  }),
  ...breaking('hono-in-http-files', {
    'src/modules/planted/hono.service.ts': "import type { Context } from 'hono'",
    'src/modules/planted/place-order.ts': "import { HTTPException } from 'hono/http-exception'",
    'src/modules/planted/hono.repository.ts': "import { serve } from '@hono/node-server'",
    'src/modules/planted/settings.ts': "import { html } from 'hono/html'",
    'src/kernel/planted-hono.ts': "import { Hono } from 'hono'",
    'src/kernel/ports/planted-hono.ts': "import { Hono } from 'hono'",
    'src/host/planted-hono.ts': "import { Hono } from 'hono'",
  }),
  ...breaking('schemas-in-schema-files', {
    'src/modules/planted/schema.service.ts': "import { z } from '@hono/zod-openapi'",
    'src/modules/planted/schema.repository.ts': "import type { z } from '@hono/zod-openapi'",
    'src/modules/leaking/place-order.ts': "import { OpenAPIHono } from '@hono/zod-openapi'",
  }),
  ...breaking('tokens-are-made-and-checked-in-one-place', {
    'src/modules/planted/jwt.routes.ts': "import { verify } from 'hono/jwt'",
    'src/modules/planted/jwt.service.ts': "import type { SignatureKey } from 'hono/utils/jwt/jws'",
    'src/host/planted-jwt.ts': "import { jwk } from 'hono/jwk'",
  }),
  ...breaking('contracts-reach-no-http', {
    'src/modules/reaching/contract.ts': "import { maxBodyBytes } from '#kernel/http/body-limit.ts'",
  }),
  ...breaking('routes-use-no-repository', {
    'src/modules/planted/stored.routes.ts': "import type { Planted } from './planted.repository.ts'",
    'src/modules/planted/stored.api.ts': "import type { Planted } from './planted.repository.ts'",
  }),
  ...breaking('decisions-use-no-repository', {
    'src/modules/planted/order.ts': "import type { Planted } from './planted.repository.ts'",
    'src/modules/planted/deep/stock-batch.ts': "import type { Planted } from '../planted.repository.ts'",
  }),
  ...breaking('host-loads-embedded-on-demand', {
    'src/host/database.ts': "import { freePort } from '../embedded/mongod.ts'",
  }),
  ...breaking('tests-of-a-module-stay-in-it', {
    'src/modules/planted/neighbour.test.ts': "import { orderApi } from '../order/order.api.ts'",
  }),
  ...breaking('no-dev-dependency-in-production', {
    'src/kernel/planted-dev.ts': "import { expect } from 'vitest'",
    'src/modules/planted/dev.ts': "export const later = () => import('mongodb-memory-server-core')",
  }),
  ...breaking('opentelemetry-in-the-exporter', {
    'src/kernel/planted-span.ts': "import type { Span } from '@opentelemetry/api'",
    'src/host/tracing.ts': "export const later = () => import('@opentelemetry/api')",
  }),
  ...breaking('opentelemetry-is-loaded-on-demand', {
    'src/host/serve.ts': "import { createOtlpTracing } from './otlp-tracing.ts'",
  }),
  ...breaking('pino-pretty-in-the-logger', {
    'src/host/planted-pretty.ts': "export const later = () => import('pino-pretty')",
  }),
  ...breaking('logger-loads-pino-pretty-on-demand', {
    'src/kernel/logger.ts': "import pretty from 'pino-pretty'",
  }),
  ...breaking('no-undeclared-dependency', {
    'test/planted-mongodb.ts': "import { MongoClient } from 'mongodb'",
    'src/modules/planted/mongodb.repository.ts': "import { MongoClient } from 'mongodb'",
  }),
  ...breaking('program-runs-without-its-tests', {
    'src/host/planted-client.ts': "import { createClient } from '#test/support/client.ts'",
    'src/modules/planted/suite.ts': "import { cupSuite } from './port.suite.ts'",
  }),
  ...breaking('no-cycle', {
    'src/modules/planted/chicken.ts':
      "import type { Egg } from './egg.ts'\nexport interface Chicken { lays: Egg }",
  }),
  ...breaking('no-unresolvable-import', {
    'src/host/planted-nowhere.ts': "import { nothing } from './nowhere.ts'",
    'src/kernel/planted-nowhere.ts': "import { nothing } from 'a-package-that-is-not-installed'",
  }),
  ...breaking('no-orphan', {
    'src/modules/planted/orphan.ts': 'export const parents = 0',
  }),
  {
    file: 'src/modules/planted/driver.service.ts',
    code: "import { MongoClient } from 'mongodb'",
    breaks: ['mongoose-in-repositories', 'no-undeclared-dependency'],
  },
]

/** Files of a new module that keeps the rules. */
const allowed: Plant[] = breaking(undefined, {
  'src/modules/planted/contract.ts':
    "import { z } from '@hono/zod-openapi'\nimport type { Line } from '../product/contract.ts'",
  'src/modules/planted/planted.repository.ts':
    "import { Schema } from 'mongoose'\nimport type { Line } from '../product/contract.ts'",
  'src/modules/planted/planted.api.ts': "import { createRoute } from '@hono/zod-openapi'",
  'src/modules/planted/planted.routes.ts': "import type { Context } from 'hono'",
  'src/modules/planted/http.ts': "import { Hono } from 'hono'",
  'src/modules/planted/problems.ts': "import { z } from '@hono/zod-openapi'",
  'src/modules/planted/sessions/access-token-issuer.ts': "import { sign } from 'hono/jwt'",
  'src/modules/planted/module.ts':
    "import { productPort } from '../product/contract.ts'\nimport { defineModule } from '#kernel/module.ts'",
  'src/modules/planted/port.suite.ts':
    "import { test } from 'vitest'\nimport { startShop } from '#test/support/shop.ts'",
  'src/modules/leaking/cup.ts': "import { toDecimal } from '#kernel/money.ts'",
  'src/modules/planted/egg.ts': "import type { Chicken } from './chicken.ts'",
  'src/host/planted-host.ts': "export const later = () => import('../embedded/mongod.ts')",
  'src/dev/planted-dev.ts': "import { createApplication } from '../http/application.ts'",
  'src/cli/planted-cli.ts': "import { compose } from '../host/compose.ts'",
  'test/planted.test.ts':
    "import { openEmbeddedMongo } from '#src/embedded/mongod.ts'\nimport mongoose from 'mongoose'",
})

function breaking(rule: string | undefined, files: Record<string, string>): Plant[] {
  return Object.entries(files).map(([file, code]) => ({
    file,
    code,
    breaks: rule === undefined ? [] : [rule],
  }))
}

const root = fileURLToPath(new URL('../..', import.meta.url))
let copy: string
let real: ICruiseResult
let planted: ICruiseResult

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'trivet-boundaries-'))
  for (const name of [
    'src',
    'test',
    'examples',
    'scripts',
    'package.json',
    'tsconfig.json',
    '.dependency-cruiser.mjs',
  ]) {
    await cp(join(root, name), join(copy, name), { recursive: true })
  }
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction')
  for (const { file, code } of [...violations, ...allowed]) {
    await mkdir(dirname(join(copy, file)), { recursive: true })
    await appendFile(join(copy, file), `${code}\n`)
  }
  ;[real, planted] = await Promise.all([cruise(root), cruise(copy)])
})

afterAll(() => rm(copy, { recursive: true, force: true }))

/** Runs dependency-cruiser as `npm run check` does, and returns its result. */
function cruise(directory: string): Promise<ICruiseResult> {
  const program = join(root, 'node_modules', 'dependency-cruiser', 'bin', 'dependency-cruiser.mjs')
  const args = ['--config', '.dependency-cruiser.mjs', '--output-type', 'json', 'src', 'test']
  return new Promise((resolve, reject) => {
    const options = { cwd: directory, maxBuffer: 64 * 1024 * 1024 }
    execFile(process.execPath, [program, ...args], options, (_, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout) as ICruiseResult)
      } catch {
        reject(new Error(`dependency-cruiser failed: ${stderr || stdout}`))
      }
    })
  })
}

const found = ({ summary }: ICruiseResult) =>
  summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`)

/** Returns the rules that a planted file breaks, once per violation. */
function brokenBy(file: string): string[] {
  const before = new Set(found(real))
  return planted.summary.violations
    .filter(({ rule, from, to }) => from === file && !before.has(`${rule.name}: ${from} -> ${to}`))
    .map(({ rule }) => rule.name)
    .sort()
}

/** Finds files outside HTTP that import more than `z` from @hono/zod-openapi. */
async function takingMoreThanSchemas(directory: string, { modules, summary }: ICruiseResult) {
  const rule = summary.ruleSetUsed?.forbidden?.find(({ name }) => name === 'hono-in-http-files')
  const httpFiles = [rule?.from.pathNot ?? []].flat().map((pattern) => new RegExp(pattern))
  expect(httpFiles).not.toEqual([])
  const offenders: string[] = []
  for (const { source } of modules) {
    if (!source.startsWith('src/') || httpFiles.some((pattern) => pattern.test(source))) continue
    const code = await readFile(join(directory, source), 'utf8')
    const imports = code.match(/^(import|export)\b[^;'"]*\bfrom '@hono\/zod-openapi'/gm) ?? []
    if (imports.some((line) => !/^import (type )?\{ z \} from/.test(line))) offenders.push(source)
  }
  return offenders
}

describe('the program', () => {
  test('the program breaks no boundary rule', () => {
    expect(found(real)).toEqual([])
  })

  test('every file and every import between modules is checked', async () => {
    const files: string[] = []
    for (const folder of ['src', 'test']) {
      for (const file of await readdir(join(root, folder), { recursive: true })) {
        if (file.endsWith('.ts')) files.push(`${folder}/${file.split(sep).join('/')}`)
      }
    }
    const cruised = new Map(real.modules.map((module) => [module.source, module.dependencies]))
    expect([...cruised.keys()]).toEqual(expect.arrayContaining(files))
    for (const { name } of await modulesOnDisk()) expect(files).toContain(`src/modules/${name}/module.ts`)
    expect((await modulesOnDisk()).length).toBeGreaterThanOrEqual(3)
    // This import has types alone, so it does not exist at run time.
    expect(cruised.get('src/modules/order/place-order.ts')?.map(({ resolved }) => resolved)).toContain(
      'src/modules/product/contract.ts',
    )
  })

  test('files outside HTTP import only `z` from @hono/zod-openapi', async () => {
    expect(await takingMoreThanSchemas(root, real)).toEqual([])
    expect(await takingMoreThanSchemas(copy, planted)).toEqual(['src/modules/leaking/place-order.ts'])
  })
})

const modulesOnDisk = async () =>
  (await readdir(join(root, 'src/modules'), { withFileTypes: true })).filter((entry) => entry.isDirectory())

describe('planted violations', () => {
  test.each(violations)('a planted violation of $breaks.0 in $file is found', ({ file, breaks }) => {
    expect(brokenBy(file)).toEqual(breaks)
  })

  test('there is a planted violation of every rule', () => {
    const rules = planted.summary.ruleSetUsed?.forbidden?.map(({ name }) => name)
    expect(new Set(violations.flatMap(({ breaks }) => breaks))).toEqual(new Set(rules))
  })
})

test('a new module that keeps the rules has no violation', () => {
  for (const { file } of allowed) expect([file, brokenBy(file)]).toEqual([file, []])
})

test('a copy of the program with planted violations has no other violation', () => {
  const expected = violations.map(({ file }) => file)
  const before = new Set(found(real))
  const others = planted.summary.violations.filter(
    ({ rule, from, to }) => !expected.includes(from) && !before.has(`${rule.name}: ${from} -> ${to}`),
  )
  expect(others).toEqual([])
})
