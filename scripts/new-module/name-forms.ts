/** The name of a module in every form that the code and the files of deployment need. */
export interface NameForms {
  /** As the operator gave it: `gift-card`. */
  kebab: string
  camel: string
  pascal: string
  /** The plural in the same forms, for paths, collections and headings. */
  kebabPlural: string
  camelPlural: string
  pascalPlural: string
}

const plurals: [RegExp, string][] = [
  [/(s|x|z|ch|sh)$/, '$1es'],
  [/([^aeiou])y$/, '$1ies'],
  [/$/, 's'],
]

/** The plural of an English noun that is regular: `category` → `categories`, `box` → `boxes`. */
export function pluralOf(noun: string): string {
  const [ending, replacement] = plurals.find(([each]) => each.test(noun)) ?? [/$/, 's']
  return noun.replace(ending, replacement)
}

const capitalized = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)
const camelOf = (kebab: string) => kebab.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())

/** @param plural is given for a noun that is not regular: `person`, `people` */
export function formsOf(name: string, plural = pluralOf(name)): NameForms {
  return {
    kebab: name,
    camel: camelOf(name),
    pascal: capitalized(camelOf(name)),
    kebabPlural: plural,
    camelPlural: camelOf(plural),
    pascalPlural: capitalized(camelOf(plural)),
  }
}

const wordsOf = (kebab: string) => kebab.replaceAll('-', ' ')
const snakeOf = (kebab: string) => kebab.replaceAll('-', '_')

/** Whether the word is spoken with a vowel at its beginning: an order, but a user. */
const beginsWithVowel = (word: string) =>
  (/^[aeiou]/.test(word) && !/^(uni|us[ae]|eu|one)/.test(word)) || /^(hour|honou?r|heir)/.test(word)

/** Every form of the name in the templates, and what it becomes. A form stands before each shorter form that it contains. */
function replacements({ kebab, camel, pascal, kebabPlural, camelPlural, pascalPlural }: NameForms) {
  const article = beginsWithVowel(kebab) ? 'an' : 'a'
  return [
    ['sample-items', kebabPlural],
    ['sample-item', kebab],
    ['sampleItems', camelPlural],
    ['sampleItem', camel],
    ['SampleItems', pascalPlural],
    ['SampleItem', pascal],
    ['SAMPLE_ITEM', snakeOf(kebab).toUpperCase()],
    ['sample_item', snakeOf(kebab)],
    ['Sample items', capitalized(wordsOf(kebabPlural))],
    ['Sample item', capitalized(wordsOf(kebab))],
    ['A sample item', `${capitalized(article)} ${wordsOf(kebab)}`],
    [' a sample item', ` ${article} ${wordsOf(kebab)}`],
    ["'a sample item", `'${article} ${wordsOf(kebab)}`],
    ['sample items', wordsOf(kebabPlural)],
    ['sample item', wordsOf(kebab)],
  ] as const
}

/** The text of a template, or the name of its file, with the name of the module. */
export function fill(template: string, forms: NameForms): string {
  const values = new Map<string, string>(replacements(forms))
  // One pass, so that a form inside the module's own name is not replaced again.
  return template.replaceAll(
    new RegExp([...values.keys()].join('|'), 'g'),
    (form) => values.get(form) ?? form,
  )
}
