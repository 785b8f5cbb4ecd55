import { OpenAPIHono } from '@hono/zod-openapi'
import packageJson from '../../package.json' with { type: 'json' }
import type { joinOperations } from './join-operations.ts'
import { completeAnswers } from './openapi-answers.ts'
import { describeConditionalReads } from './openapi-conditional-reads.ts'
import { linkFromCreation } from './openapi-links.ts'
import type { OpenApiDocument } from './openapi-parts.ts'
import { completeProblems } from './openapi-problems.ts'

/** Makes the OpenAPI document of all operations. The operations of modules that another process hosts are included. */
export function openApiDocument(operations: ReturnType<typeof joinOperations>) {
  const described = new OpenAPIHono()
  for (const [operationId, route] of operations) {
    described.openAPIRegistry.registerPath({ security: [], ...route, operationId })
  }
  described.openAPIRegistry.registerComponent('securitySchemes', 'accessToken', {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: 'The `accessToken` of `POST /login`.',
  })
  const document = described.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Trivet',
      version: packageJson.version,
      description:
        'An e-commerce back end with accounts, products and orders. Every error is a problem document (RFC 9457) with a stable `code`. Paths are served with and without a trailing slash.',
      contact: { name: 'The maintainers of Trivet' },
      license: { name: 'MIT', url: 'https://opensource.org/license/mit' },
    },
    externalDocs: { url: '/docs', description: 'This document as a page with a form for each request.' },
    servers: [{ url: '/', description: 'The server that this document comes from.' }],
    tags: [
      { name: 'Accounts', description: 'Registration and sign-in.' },
      { name: 'Products', description: 'The catalogue and its stock.' },
      { name: 'Orders', description: 'Placing, shipping and cancelling orders.' },
      { name: 'Operations', description: 'For operators and programs.' },
    ],
  }) as unknown as OpenApiDocument
  completeProblems(document, operations)
  linkFromCreation(document)
  describeConditionalReads(document)
  completeAnswers(document)
  return document
}
