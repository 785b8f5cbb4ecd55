import { isDeepStrictEqual } from 'node:util'
import { OpenAPIHono } from '@hono/zod-openapi'
import type { joinOperations } from './join-operations.ts'

/** Makes the OpenAPI document of all operations. The operations of modules that another process hosts are included. */
export function openApiDocument(operations: ReturnType<typeof joinOperations>) {
  const described = new OpenAPIHono()
  for (const [operationId, route] of operations) {
    described.openAPIRegistry.registerPath({ ...route, operationId })
  }
  described.openAPIRegistry.registerComponent('securitySchemes', 'accessToken', {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'The `accessToken` of POST /login',
  })
  const document = described.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Trivet',
      version: '0.1.0',
      description:
        'An e-commerce back end with accounts, products and orders. Every error is a problem document (RFC 9457) with a stable `code`. Paths are served with and without a trailing slash.',
    },
    servers: [{ url: '/' }],
    tags: [
      { name: 'Accounts', description: 'Registration and sign-in' },
      { name: 'Products', description: 'The catalogue and its stock' },
      { name: 'Orders', description: 'Placing, shipping and cancelling orders' },
      { name: 'Operations', description: 'For operators and machines' },
    ],
  })
  return withSharedProblems(document)
}

interface DescribedOperation {
  operationId: string
  responses: Record<string, { content?: Record<string, { examples?: object }> }>
}

/**
 * Moves the descriptions of problems to the components, since most of them are the same for many operations. A
 * component is named after its codes. If another operation describes the same codes differently, the name of its component
 * starts with the id of its operation.
 */
function withSharedProblems(document: ReturnType<OpenAPIHono['getOpenAPI31Document']>) {
  const components: Record<string, object> = {}
  for (const path of Object.values(document.paths ?? {})) {
    for (const { operationId, responses } of Object.values(path as Record<string, DescribedOperation>)) {
      for (const [status, response] of Object.entries(responses)) {
        const codes = Object.keys(response.content?.['application/problem+json']?.examples ?? {})
        if (codes.length === 0) continue
        const plain = codes.join('.')
        const isOther = plain in components && !isDeepStrictEqual(components[plain], response)
        const name = isOther ? `${operationId}.${plain}` : plain
        components[name] = response
        Object.assign(responses, { [status]: { $ref: `#/components/responses/${name}` } })
      }
    }
  }
  return { ...document, components: { ...document.components, responses: components } }
}
