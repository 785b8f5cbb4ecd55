import { createRoute, z } from '@hono/zod-openapi'
import { compressibleHeaders, json } from '#kernel/http/openapi.ts'
import { errorsOf, exampleOf } from '#kernel/http/problem-responses.ts'
import { kernelProblems } from '#kernel/http/problems.ts'

const errors = errorsOf({})
const tags = ['Operations']
const page = { 'text/html': { schema: z.string() } }

/** An answer that a client can have compressed, and can ask for again by its entity tag. */
const ok = <Content extends object>(description: string, content: Content) => ({
  200: { description, headers: compressibleHeaders, content },
})

const problemType = z
  .object({
    type: z.string().openapi({ description: 'The `type` of the problem: the path of this description.' }),
    code: z.string(),
    status: z.int(),
    title: z.string(),
    meaning: z.string().openapi({ description: 'What has happened, as Markdown.' }),
    advice: z.string().openapi({ description: 'What a client should do, as Markdown.' }),
    retryable: z.boolean().openapi({
      description: 'Whether a program should send the same request again by itself.',
    }),
    // The schema is not that of a problem, because a module adds members to some problems of the kernel.
    example: z.record(z.string(), z.unknown()).openapi({ description: 'A problem document with this code.' }),
  })
  .openapi('ProblemType')
const problemTypeList = z.object({ data: z.array(problemType) }).openapi('ProblemTypeList')

const entryPoint = z
  .object({ name: z.string(), reference: z.string(), document: z.string(), problems: z.string() })
  .openapi('EntryPoint', {
    description: 'The paths of the pages that describe the API.',
  })
const openApi = z.record(z.string(), z.unknown()).openapi('OpenApiDocument', {
  description: 'An OpenAPI 3.1 document.',
})

const forbidden = {
  type: '/problems/forbidden',
  code: 'forbidden',
  ...kernelProblems.forbidden,
  retryable: false,
  example: exampleOf('forbidden', kernelProblems.forbidden).value,
}
/** What `GET /` returns to programs. */
export const entryPoints = {
  name: 'Trivet',
  reference: '/docs',
  document: '/openapi.json',
  problems: '/problems',
}

const examples = {
  openApi: { openapi: '3.1.0', info: { title: 'Trivet', version: '0.1.0' }, paths: {} },
  problem: forbidden,
  problems: { data: [forbidden] },
}

/**
 * Describes the operations that document the API.
 * @param codes the codes of all problems
 */
export const documentationApi = (codes: readonly string[]) => ({
  getRoot: createRoute({
    method: 'get',
    path: '/',
    tags,
    summary: 'Find the documentation',
    description: 'People get a page, and programs get JSON. The header `Accept` selects one of them.',
    responses: {
      ...ok('The paths of the documentation.', { ...json(entryPoint, entryPoints), ...page }),
      ...errors(),
    },
  }),
  getOpenApiDocument: createRoute({
    method: 'get',
    path: '/openapi.json',
    tags,
    summary: 'Read this document',
    responses: {
      ...ok(
        'The OpenAPI 3.1 document of the whole API. Every service has it.',
        json(openApi, examples.openApi),
      ),
      ...errors(),
    },
  }),
  getReference: createRoute({
    method: 'get',
    path: '/docs',
    tags,
    summary: 'Read the API reference',
    responses: {
      ...ok('An HTML page that works without internet access.', page),
      ...errors(),
    },
  }),
  listProblems: createRoute({
    method: 'get',
    path: '/problems',
    tags,
    summary: 'List the problems',
    description: 'People get a page, and programs get JSON. The header `Accept` selects one of them.',
    responses: {
      ...ok('All problems.', { ...json(problemTypeList, examples.problems), ...page }),
      ...errors(),
    },
  }),
  getProblem: createRoute({
    method: 'get',
    path: '/problems/{code}',
    tags,
    summary: 'Explain a problem',
    description:
      'The path is the `type` of the problem. People get a page, and programs get JSON. The header `Accept` selects one of them.',
    request: {
      params: z.object({
        code: z
          .enum(codes)
          .openapi('ProblemCode')
          .openapi({ param: { name: 'code', in: 'path', example: 'forbidden' } }),
      }),
    },
    responses: {
      ...ok('The meaning of the code, and what a client should do.', {
        ...json(problemType, examples.problem),
        ...page,
      }),
      ...errors('route_not_found'),
    },
  }),
})
