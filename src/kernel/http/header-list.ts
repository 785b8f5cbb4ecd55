/**
 * The elements of a header field whose value is a comma-separated list without quoted elements. RFC 9110, 5.6.1, requires a
 * recipient to ignore empty elements.
 */
export const elementsOf = (header: string): string[] =>
  header
    .split(',')
    .map((element) => element.trim())
    .filter((element) => element !== '')
