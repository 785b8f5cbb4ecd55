import { type OpenApiDocument, operationsOf, resolve } from './openapi-parts.ts'

/**
 * Links each answer 201 to the operations on what was created. The body of the answer starts with the id of the resource, and the
 * paths of these operations contain `{id}`.
 */
export function linkFromCreation(document: OpenApiDocument): void {
  const operations = operationsOf(document)
  for (const [path, { responses }] of operations) {
    const created = responses[201]
    const schema = created?.content?.['application/json']?.schema
    const idField = Object.keys(resolve(document, schema ?? {}).properties ?? {})[0]
    if (!created || idField === undefined) continue
    const collection = `/${path.split('/')[1]}`
    for (const [target, { operationId, summary, parameters = [] }] of operations) {
      if (!target.startsWith(`${collection}/{id}`)) continue
      const isConditional = parameters.some((each) => 'name' in each && each.name === 'If-Match')
      created.links = {
        ...created.links,
        [operationId]: {
          operationId,
          description: `${summary}.`,
          parameters: {
            'path.id': `$response.body#/${idField}`,
            ...(isConditional && { 'header.If-Match': '$response.header.ETag' }),
          },
        },
      }
    }
  }
}
