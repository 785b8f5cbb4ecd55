import { hash } from 'node:crypto'

/** A body with its media type and the entity tag of its content. Several requests may share it. */
export interface Representation<Body = unknown> {
  body: string | Uint8Array<ArrayBuffer>
  contentType: string
  etag: string
  /** What the JSON text contains. Only the type checker reads this field. */
  content?: Body
}

/**
 * Makes a representation. The entity tag is weak, because the compressed body has the same one (RFC 9110, 8.8.3.3).
 */
export const representationOf = (
  body: Representation['body'],
  contentType: string,
): Representation<never> => ({
  body,
  contentType,
  etag: `W/"${hash('sha256', body, 'base64url')}"`,
})

export const jsonOf = <Body>(content: Body): Representation<Body> =>
  representationOf(JSON.stringify(content), 'application/json')
