import { compressibleHeaders, etagHeader } from '#kernel/http/openapi.ts'
import type { DescribedResponse, OpenApiDocument } from './openapi-parts.ts'

const name = 'If-None-Match'

/** A malformed value is ignored, so that the client gets the whole answer. So the schema allows any text. */
const ifNoneMatch = {
  name,
  in: 'header',
  required: false,
  description:
    'RFC 9110, 13.1.2: `*` or a list of quoted entity tags, such as the `ETag` of an earlier answer. The answer is 304 if the current entity tag is among them.',
  schema: { type: 'string' },
}

const notModified = (): DescribedResponse => ({
  description:
    'The client has the current content: `If-None-Match` names its entity tag. The answer has no body.',
  headers: {
    ...etagHeader,
    Vary: { ...compressibleHeaders.Vary, description: 'As in the answer 200.', required: false },
  },
})

/** Describes the parameter and the answer 304 of conditional reads. Each GET whose answer has an entity tag is one. */
export function describeConditionalReads({ paths, components }: OpenApiDocument): void {
  for (const { get } of Object.values(paths)) {
    if (!get?.responses[200]?.headers?.ETag) continue
    get.parameters = [...(get.parameters ?? []), { $ref: `#/components/parameters/${name}` }]
    get.responses[304] = notModified()
  }
  components.parameters = { [name]: ifNoneMatch }
}
