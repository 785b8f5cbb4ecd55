export const maxSearchLength = 200
export const maxSearchWords = 20

/**
 * The characters at which MongoDB's text index splits texts into words. The operators of its query language, quotation
 * marks and minus signs, are among them. U+00AD, U+30FB and U+FF65 are the hyphens that have no other property.
 */
const delimiters =
  /[\p{White_Space}\p{Dash}\p{Quotation_Mark}\p{Terminal_Punctuation}\p{Sentence_Terminal}\p{Pattern_Syntax}\u00ad\u30fb\uff65]+/u

/** The different words of a search text. */
export const searchWords = (text: string): string[] => [
  ...new Set(text.split(delimiters).filter((word) => word !== '')),
]
