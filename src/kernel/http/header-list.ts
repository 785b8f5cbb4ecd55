/**
 * The elements of a header that is a comma list (RFC 9110, 5.6.1), for lists whose elements have no quotes. Empty elements
 * are ignored, as a recipient must.
 */
export const elementsOf = (header: string): string[] =>
  header
    .split(',')
    .map((element) => element.trim())
    .filter((element) => element !== '')
