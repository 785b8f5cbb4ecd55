// `npm run openapi` writes what a change of the API means for clients into the repository, so that the diff shows it: the OpenAPI
// document, the types of examples/client that are generated from it, and the tables of docs/errors.md. With `--check`, as in `npm run check`, it only
// compares the files with the code.
import { readFile, writeFile } from 'node:fs/promises'
import openapiTypescript, { astToString } from 'openapi-typescript'
import { joinOperations } from '#src/http/join-operations.ts'
import { openApiDocument } from '#src/http/openapi-document.ts'
import { registry } from '#src/registry.ts'
import { withErrorTables } from './error-tables.ts'

const document = `${JSON.stringify(openApiDocument(joinOperations(registry)), null, 2)}\n`
const types = astToString(await openapiTypescript(document))
const heading = '// Generated from docs/openapi.json by `npm run openapi`. Do not edit.\n\n'
const errors = new URL('../docs/errors.md', import.meta.url)
const files = {
  'docs/openapi.json': document,
  'examples/client/schema.d.ts': heading + types,
  'docs/errors.md': withErrorTables(await readFile(errors, 'utf8'), registry),
}

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
