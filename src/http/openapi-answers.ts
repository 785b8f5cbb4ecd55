import { isDeepStrictEqual } from 'node:util'
import { requestIdFormat } from '#kernel/call.ts'
import { phraseOf } from '#kernel/http/problem-responses.ts'
import { type DescribedResponse, type OpenApiDocument, operationsOf, schemaRef } from './openapi-parts.ts'

/** The headers of every answer. */
const headersOfAll = {
  'X-Request-Id': {
    description:
      'The `X-Request-Id` of the request if it is well-formed, and otherwise a new one. The logs have it.',
    required: true,
    schema: { type: 'string', pattern: requestIdFormat.source },
  },
  'Cache-Control': {
    description:
      '`no-store` for personal data, tokens and errors: no cache keeps the answer. `no-cache`: a cache asks with `If-None-Match` before each use.',
    required: true,
    schema: { type: 'string' },
  },
}

/** Adds the headers of all answers, and moves headers and problems that several answers share to the components. */
export function completeAnswers(document: OpenApiDocument): void {
  const headers: Record<string, object> = {}
  const shared: Record<string, DescribedResponse> = {}
  for (const [, { responses }] of operationsOf(document)) {
    for (const [status, response] of Object.entries(responses)) {
      response.headers = Object.fromEntries(
        Object.entries({ ...headersOfAll, ...response.headers }).map(([name, header]) => {
          headers[name] ??= header
          const isShared = isDeepStrictEqual(headers[name], header)
          return [name, isShared ? { $ref: `#/components/headers/${name}` } : header]
        }),
      )
      const name = sharedName(status, response)
      if (name === undefined) continue
      shared[name] ??= response
      if (isDeepStrictEqual(shared[name], response))
        Object.assign(responses, { [status]: { $ref: `#/components/responses/${name}` } })
    }
  }
  Object.assign(document.components, { headers, responses: shared })
}

/** The name of an answer 304 or with a problem. An answer with an example of its own operation has no name. */
function sharedName(status: string, { content }: DescribedResponse): string | undefined {
  if (status === '304') return phraseOf(304)
  const problem = content?.['application/problem+json']
  if (!problem || Object.hasOwn(problem.examples ?? {}, 'validation_failed')) return undefined
  if (status === 'default') return 'OtherProblem'
  return problem.schema.$ref?.replace(schemaRef(''), '').replace(/Problem$/, '')
}
