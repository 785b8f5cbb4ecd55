// `npm run openapi` writes the OpenAPI document, and the types of examples/client that are generated from it, into the
// repository, so that the diff of a change shows what it means for clients. With `--check`, as in `npm run check`, it only
// compares the files with the code.
import { readFile, writeFile } from 'node:fs/promises'
import openapiTypescript, { astToString } from 'openapi-typescript'
import { joinOperations } from '#src/http/join-operations.ts'
import { openApiDocument } from '#src/http/openapi-document.ts'
import { registry } from '#src/registry.ts'

const document = `${JSON.stringify(openApiDocument(joinOperations(registry)), null, 2)}\n`
const types = astToString(await openapiTypescript(document))
const heading = '// Generated from docs/openapi.json by `npm run openapi`. Do not edit.\n\n'
const files = { 'docs/openapi.json': document, 'examples/client/schema.d.ts': heading + types }

for (const [path, text] of Object.entries(files)) {
  const url = new URL(`../${path}`, import.meta.url)
  if (!process.argv.includes('--check')) {
    await writeFile(url, text)
    console.log(`wrote ${path}`)
  } else if ((await readFile(url, 'utf8')) !== text) {
    console.log(`${path} differs from the code: run "npm run openapi", and commit the file`)
    process.exitCode = 1
  }
}
