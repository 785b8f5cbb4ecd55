export const maxSearchLength = 200
export const maxSearchWords = 20

/**
 * The characters at which MongoDB's text index splits texts into words. The operators of its query language, quotation
 * marks and minus signs, are among them. U+00AD, U+30FB and U+FF65 are the hyphens that have no other property.
 */
const delimiters =
  /[\p{White_Space}\p{Dash}\p{Quotation_Mark}\p{Terminal_Punctuation}\p{Sentence_Terminal}\p{Pattern_Syntax}\u00ad\u30fb\uff65]+/u

/**
 * The different words of a search text, in composed characters (NFC), as most texts are stored. The text index ignores the accents of
 * decomposed letters, but it does not compose the syllables of Hangul, which macOS decomposes in names of files.
 */
export const searchWords = (text: string): string[] => [
  ...new Set(
    text
      .normalize('NFC')
      .split(delimiters)
      .filter((word) => word !== ''),
  ),
]
