import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createClient } from '@hey-api/openapi-ts'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Deployment, deploy } from '#test/support/processes.ts'
import { root, runProgram } from '#test/support/run-program.ts'
import { cache } from '../cache.ts'
import { noPython, pythonPrograms } from '../python.ts'
import { noGo, noJava } from './toolchains.ts'

// openapi-generator is a Java program, and Maven fetches it.
const noGoClient = noGo ?? noJava
for (const [language, missing] of Object.entries({ Go: noGoClient, Java: noJava, Python: noPython })) {
  if (missing) console.log(`skipped, the client in ${language}: ${missing}`)
}

const openApiGenerator = '7.25.0'
const mavenDependencies = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1'
const document = join(root, 'docs/openapi.json')
const programs = join(root, 'test/contract/clients')

/**
 * Each program orders 1,000 pieces of a product that has 3, and reads the refusal by its type. So each test compiles the client
 * that a generator makes of the document, and a program that could not be compiled without the types of problems.
 */
describe('a client that is generated and compiled reads from a problem what is available', () => {
  let shop: Deployment
  let args: string[]
  let expected: string
  beforeAll(async () => {
    shop = await deploy('one process')
    const { productId } = await shop.product(shop.adminToken, { stock: 3 })
    args = [shop.url, (await shop.customer()).token, productId]
    expected = `${productId}: 1000 requested, 3 available`
  })
  afterAll(() => shop.stop())

  const temporaryFolder = async () => {
    const folder = await mkdtemp(join(tmpdir(), 'trivet-client-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    return folder
  }

  /** Runs openapi-generator, with its jar in the cache. */
  const generate = async (language: string, folder: string, ...options: string[]) => {
    const jar = join(cache, `openapi-generator-cli-${openApiGenerator}.jar`)
    const artifact = `org.openapitools:openapi-generator-cli:${openApiGenerator}`
    const copy = [`-Dartifact=${artifact}`, `-DoutputDirectory=${cache}`]
    await runProgram('mvn', ['-q', `${mavenDependencies}:copy`, ...copy])
    const input = ['-i', document, '-g', language, '-o', folder]
    await runProgram('java', ['-jar', jar, 'generate', ...input, ...options])
  }

  it('TypeScript, by @hey-api/openapi-ts', async () => {
    const folder = await temporaryFolder()
    await createClient({ input: document, output: join(folder, 'shop'), logs: { level: 'error' } })
    await cp(join(programs, 'typescript'), folder, { recursive: true })
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
    const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node']
    const checks = ['--strict', '--noUncheckedIndexedAccess', '--target', 'esnext', '--module', 'nodenext']
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    await runProgram(process.execPath, [compiler, ...checks, ...types, 'place-order.mts'], {}, folder)
    expect(await runProgram(process.execPath, ['place-order.mjs', ...args], {}, folder)).toBe(expected)
  })

  it.skipIf(noGoClient)('Go, by openapi-generator', async () => {
    const folder = await temporaryFolder()
    const module = ['--git-host', 'example.com', '--git-user-id', 'trivet', '--git-repo-id', 'shop']
    const properties = 'packageName=shop,useOneOfDiscriminatorLookup=true'
    await generate('go', folder, ...module, '--additional-properties', properties)
    await cp(join(programs, 'go'), join(folder, 'place-order'), { recursive: true })
    await runProgram('go', ['vet', '.', './place-order'], {}, folder)
    expect(await runProgram('go', ['run', './place-order', ...args], {}, folder)).toBe(expected)
  })

  it.skipIf(noJava)('Java, by openapi-generator', async () => {
    const folder = await temporaryFolder()
    const packages = 'invokerPackage=shop,apiPackage=shop.api,modelPackage=shop.model'
    const properties = `library=native,useOneOfDiscriminatorLookup=true,${packages}`
    await generate('java', folder, '--additional-properties', properties)
    await cp(join(programs, 'java'), join(folder, 'src/main/java'), { recursive: true })
    const classPath = join(folder, 'classpath.txt')
    const goals = ['compile', `${mavenDependencies}:build-classpath`, `-Dmdep.outputFile=${classPath}`]
    await runProgram('mvn', ['-q', ...goals], {}, folder)
    const classes = [join(folder, 'target/classes'), await readFile(classPath, 'utf8')].join(delimiter)
    expect(await runProgram('java', ['-cp', classes, 'PlaceOrder', ...args])).toBe(expected)
  })

  it.skipIf(noPython)('Python, by openapi-python-client, checked by mypy', async () => {
    const folder = await temporaryFolder()
    const source = join(programs, 'python')
    const bin = await pythonPrograms(join(source, 'requirements.txt'))
    const config = ['--meta', 'none', '--config', join(source, 'generator.yaml'), '--fail-on-warning']
    const paths = ['--path', document, '--output-path', join(folder, 'shop')]
    await runProgram(join(bin, 'openapi-python-client'), ['generate', ...paths, ...config])
    const program = join(folder, 'place_order.py')
    await cp(join(source, 'place_order.py'), program)
    await mkdir(join(folder, 'cache'))
    await runProgram(join(bin, 'mypy'), ['--strict', '--cache-dir', 'cache', program], {}, folder)
    expect(await runProgram(join(bin, 'python'), [program, ...args])).toBe(expected)
  })
})
