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
  ...breaking('modules-meet-at-contracts', {
    'src/modules/order/planted-type.ts':
      "import type { ProductRepository } from '../product/product.repository.ts'",
    'src/modules/order/planted-type-expression.ts':
      "export type Issuer = import('../auth/tokens.ts').TokenIssuer",
    'src/modules/order/planted-reexport.ts': "export * from '../product/product.ts'",
    'src/modules/order/planted-front-door.ts': "import { auth } from '../auth/module.ts'",
    'src/modules/planted/on-demand.ts': "export const later = () => import('../product/product.service.ts')",
    'src/modules/planted/neighbour.test.ts': "import { orderApi } from '../order/order.api.ts'",
  }),
  ...breaking('contracts-carry-no-inside', {
    'src/modules/leaking/contract.ts': "export type { Cup } from './cup.ts'",
  }),
  ...breaking('modules-stand-on-the-kernel', {
    'src/modules/planted/listening.ts': "import { listen } from '../../listen.ts'",
    'src/modules/planted/embedding.ts': "import { freePort } from '../../embedded/mongod.ts'",
  }),
  ...breaking('kernel-knows-nobody', {
    'src/kernel/planted-contract.ts': "import type { ProductPort } from '../modules/product/contract.ts'",
    'src/kernel/planted-registry.ts': "import { registry } from '../registry.ts'",
    'src/kernel/planted-embedded.ts': "import { freePort } from '../embedded/mongod.ts'",
  }),
  ...breaking('registry-names-the-modules', {
    'src/planted-module.ts': "import { product } from './modules/product/module.ts'",
    'src/planted-contract.ts': "import type { AuthPort } from './modules/auth/contract.ts'",
    'src/embedded/planted-module.ts': "import { product } from '../modules/product/module.ts'",
  }),
  ...breaking('registry-uses-the-front-door', {
    'src/registry.ts': "import { productApi } from './modules/product/product.api.ts'",
  }),
  ...breaking('mongoose-in-repositories', {
    'src/modules/planted/mongoose.service.ts': "import mongoose from 'mongoose'",
    'src/modules/order/planted-place-order.ts': "import type { ClientSession } from 'mongoose'",
    'src/modules/planted/migrations.ts': "import { Schema } from 'mongoose'",
    'src/kernel/planted-mongo.ts': "import { mongo } from 'mongoose'",
    'src/planted-mongo.ts': "import { mongo } from 'mongoose'",
  }),
  ...breaking('hono-in-http-files', {
    'src/modules/planted/hono.service.ts': "import type { Context } from 'hono'",
    'src/modules/planted/place-order.ts': "import { HTTPException } from 'hono/http-exception'",
    'src/modules/planted/hono.repository.ts': "import { serve } from '@hono/node-server'",
    'src/modules/planted/settings.ts': "import { html } from 'hono/html'",
    'src/kernel/planted-hono.ts': "import { Hono } from 'hono'",
    'src/planted-hono.ts': "import { Hono } from 'hono'",
  }),
  ...breaking('schemas-in-schema-files', {
    'src/modules/planted/schema.service.ts': "import { z } from '@hono/zod-openapi'",
    'src/modules/planted/schema.repository.ts': "import type { z } from '@hono/zod-openapi'",
    'src/modules/leaking/place-order.ts': "import { OpenAPIHono } from '@hono/zod-openapi'",
  }),
  ...breaking('tokens-are-made-and-checked-in-one-place', {
    'src/modules/planted/jwt.routes.ts': "import { verify } from 'hono/jwt'",
    'src/modules/planted/jwt.service.ts': "import type { SignatureKey } from 'hono/utils/jwt/jws'",
    'src/planted-jwt.ts': "import { jwk } from 'hono/jwk'",
  }),
  ...breaking('embedded-is-for-development', {
    'src/planted-embedded.ts': "export const later = () => import('./embedded/mongod.ts')",
  }),
  ...breaking('mongodb-loads-embedded-on-demand', {
    'src/mongodb.ts': "import { freePort } from './embedded/mongod.ts'",
  }),
  ...breaking('split-is-for-development', {
    'src/planted-front.ts': "export const later = () => import('./front.ts')",
    'src/planted-split.ts': "import type { Front } from './front.ts'",
  }),
  ...breaking('no-dev-dependency-in-production', {
    'src/kernel/planted-dev.ts': "import { expect } from 'vitest'",
    'src/modules/planted/dev.ts': "export const later = () => import('mongodb-memory-server-core')",
  }),
  ...breaking('pino-pretty-in-the-logger', {
    'src/planted-pretty.ts': "export const later = () => import('pino-pretty')",
  }),
  ...breaking('logger-loads-pino-pretty-on-demand', {
    'src/kernel/logger.ts': "import pretty from 'pino-pretty'",
  }),
  ...breaking('no-undeclared-dependency', {
    'test/planted-mongodb.ts': "import { MongoClient } from 'mongodb'",
    'src/modules/planted/mongodb.repository.ts': "import { MongoClient } from 'mongodb'",
  }),
  ...breaking('program-runs-without-its-tests', {
    'src/planted-client.ts': "import { createClient } from '../test/client.ts'",
    'src/modules/planted/suite.ts': "import { cupSuite } from './port.suite.ts'",
  }),
  ...breaking('no-cycle', {
    'src/modules/planted/chicken.ts':
      "import type { Egg } from './egg.ts'\nexport interface Chicken { lays: Egg }",
  }),
  ...breaking('no-unresolvable-import', {
    'src/planted-nowhere.ts': "import { nothing } from './nowhere.ts'",
    'src/kernel/planted-nowhere.ts': "import { nothing } from 'a-package-that-nobody-installed'",
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

/** A module that nobody has heard of, which keeps the rules. */
const allowed: Plant[] = breaking(undefined, {
  'src/modules/planted/contract.ts':
    "import { z } from '@hono/zod-openapi'\nimport type { Line } from '../product/contract.ts'",
  'src/modules/planted/planted.repository.ts':
    "import { Schema } from 'mongoose'\nimport type { Line } from '../product/contract.ts'",
  'src/modules/planted/planted.api.ts': "import { createRoute } from '@hono/zod-openapi'",
  'src/modules/planted/planted.routes.ts': "import type { Context } from 'hono'",
  'src/modules/planted/http.ts': "import { Hono } from 'hono'",
  'src/modules/planted/tokens.ts': "import { sign } from 'hono/jwt'",
  'src/modules/planted/module.ts':
    "import { productPort } from '../product/contract.ts'\nimport { defineModule } from '../../kernel/module.ts'",
  'src/modules/planted/port.suite.ts':
    "import { test } from 'vitest'\nimport { startShop } from '../../../test/shop.ts'",
  'src/modules/leaking/cup.ts': "import { toDecimal } from '../../kernel/money.ts'",
  'src/modules/planted/egg.ts': "import type { Chicken } from './chicken.ts'",
  'test/planted.test.ts':
    "import { openEmbeddedMongo } from '../src/embedded/mongod.ts'\nimport mongoose from 'mongoose'",
})

function breaking(rule: string | undefined, files: Record<string, string>): Plant[] {
  return Object.entries(files).map(([file, code]) => ({
    file,
    code,
    breaks: rule === undefined ? [] : [rule],
  }))
}

const root = fileURLToPath(new URL('..', import.meta.url))
let copy: string
let real: ICruiseResult
let planted: ICruiseResult

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'trivet-boundaries-'))
  for (const name of ['src', 'test', 'package.json', 'tsconfig.json', '.dependency-cruiser.mjs']) {
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

/** What `npm run boundaries` does, as data. */
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

/** The rules that a planted file breaks, each as often as it does. */
function brokenBy(file: string): string[] {
  const before = new Set(found(real))
  return planted.summary.violations
    .filter(({ rule, from, to }) => from === file && !before.has(`${rule.name}: ${from} -> ${to}`))
    .map(({ rule }) => rule.name)
    .sort()
}

/** Files that may define schemas and do not speak HTTP, with an import of more than the schema language. */
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
  test('keeps every rule', () => {
    expect(found(real)).toEqual([])
  })

  test('is checked whole: every file, and the imports between modules', async () => {
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
    // An import of nothing but types, which is invisible to whoever looks at what runs.
    expect(cruised.get('src/modules/order/place-order.ts')?.map(({ resolved }) => resolved)).toContain(
      'src/modules/product/contract.ts',
    )
  })

  test('takes the schema language alone from @hono/zod-openapi where it does not speak HTTP', async () => {
    expect(await takingMoreThanSchemas(root, real)).toEqual([])
    expect(await takingMoreThanSchemas(copy, planted)).toEqual(['src/modules/leaking/place-order.ts'])
  })
})

const modulesOnDisk = async () =>
  (await readdir(join(root, 'src/modules'), { withFileTypes: true })).filter((entry) => entry.isDirectory())

describe('a planted violation is caught', () => {
  test.each(violations)('$breaks.0 in $file', ({ file, breaks }) => {
    expect(brokenBy(file)).toEqual(breaks)
  })

  test('of every rule that there is', () => {
    const rules = planted.summary.ruleSetUsed?.forbidden?.map(({ name }) => name)
    expect(new Set(violations.flatMap(({ breaks }) => breaks))).toEqual(new Set(rules))
  })
})

test('a new module that keeps the rules is left alone', () => {
  for (const { file } of allowed) expect([file, brokenBy(file)]).toEqual([file, []])
})

test('nothing but what was planted is caught', () => {
  const expected = violations.map(({ file }) => file)
  const before = new Set(found(real))
  const others = planted.summary.violations.filter(
    ({ rule, from, to }) => !expected.includes(from) && !before.has(`${rule.name}: ${from} -> ${to}`),
  )
  expect(others).toEqual([])
})
