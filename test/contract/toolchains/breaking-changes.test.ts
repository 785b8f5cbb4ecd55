import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { Json } from '#test/support/client.ts'
import { root, runProgram } from '#test/support/run-program.ts'
import { cache } from '../cache.ts'
import { noGo } from './toolchains.ts'

if (noGo) console.log(`skipped, the search for breaking changes of the API: ${noGo}`)

const version = 'v1.38.0'
const current = join(root, 'docs/openapi.json')
/** The document of the last release. Until the first release, it is the one that the first release will have. */
const released = join(root, 'docs/openapi-released.json')
// A client must expect codes of problems that it does not know. So a new problem breaks nothing, but one that is gone does.
const severities = join(root, 'test/contract/toolchains/oasdiff-severities.txt')

describe.skipIf(noGo)('oasdiff, which compares two OpenAPI documents', () => {
  let oasdiff: string
  beforeAll(async () => {
    const programs = join(cache, `oasdiff-${version}`)
    oasdiff = join(programs, 'oasdiff')
    await runProgram('go', ['install', `github.com/oasdiff/oasdiff@${version}`], { GOBIN: programs })
  })

  const breakingChanges = (from: string, to: string) => {
    const options = ['--fail-on', 'WARN', '--format', 'singleline', '--severity-levels', severities]
    const { status, stdout } = spawnSync(oasdiff, ['breaking', from, to, ...options], { encoding: 'utf8' })
    return { status, stdout }
  }

  it('the document has no breaking change since the last release', () => {
    const { status, stdout } = breakingChanges(released, current)
    expect(status, stdout).toBe(0)
  })

  /** Compares the current document with a changed copy of it. */
  const breakingChangesAfter = async (change: (document: Json) => Json) => {
    const folder = await mkdtemp(join(tmpdir(), 'trivet-oasdiff-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const changed = join(folder, 'openapi.json')
    await writeFile(changed, JSON.stringify(change(JSON.parse(await readFile(current, 'utf8')))))
    return breakingChanges(current, changed)
  }

  it('a removed field of an answer is reported as a breaking change', async () => {
    const findings = await breakingChangesAfter((document) => {
      const { properties, required } = document.components.schemas.Product
      delete properties.stock
      required.splice(required.indexOf('stock'), 1)
      return document
    })
    expect(findings).toEqual({
      status: 1,
      stdout: expect.stringMatching(
        /GET \/products\/\{id\} .*`stock`.*\[response-required-property-removed\]/,
      ),
    })
  })

  it('a renamed code of a problem is reported as a breaking change', async () => {
    const findings = await breakingChangesAfter((document) => {
      const { code } = document.components.schemas.ProductNotFoundProblem.properties
      expect(code.const).toBe('product_not_found')
      code.const = 'product_missing'
      return document
    })
    expect(findings).toEqual({
      status: 1,
      stdout: expect.stringMatching(/`code`.*`product_missing`.*\[response-property-const-changed\]/),
    })
  })

  it('a renamed code of a problem is reported as a breaking change, even if its schema was renamed too', async () => {
    const findings = await breakingChangesAfter((document) => {
      const renamed = JSON.stringify(document)
        .replaceAll('product_not_found', 'product_missing')
        .replaceAll('ProductNotFoundProblem', 'ProductMissingProblem')
      return JSON.parse(renamed)
    })
    expect(findings).toEqual({
      status: 1,
      stdout: expect.stringMatching(/removed .*ProductNotFoundProblem.*\[response-body-one-of-removed\]/),
    })
  })

  it('a parameter that became required is reported as a breaking change', async () => {
    const findings = await breakingChangesAfter((document) => {
      const { parameters } = document.paths['/orders'].post
      parameters.find(({ name }: Json) => name === 'Idempotency-Key').required = true
      return document
    })
    expect(findings).toEqual({
      status: 1,
      stdout: expect.stringMatching(/POST \/orders .*\[request-parameter-became-required\]/),
    })
  })

  it('a new field of an answer and a new problem are no breaking changes', async () => {
    const findings = await breakingChangesAfter((document) => {
      const { schemas } = document.components
      schemas.Product.properties.weight = { type: 'number' }
      schemas.ProductLockedProblem = JSON.parse(
        JSON.stringify(schemas.ProductNotFoundProblem).replaceAll('product_not_found', 'product_locked'),
      )
      schemas.Problem.oneOf.push({ $ref: '#/components/schemas/ProductLockedProblem' })
      return document
    })
    expect(findings).toMatchObject({ status: 0 })
  })
})
