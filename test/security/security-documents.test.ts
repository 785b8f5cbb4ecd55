import { existsSync, readFileSync } from 'node:fs'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'
import { contextWords } from '#src/modules/auth/passwords/password-policy.ts'

/**
 * SECURITY.md and docs/asvs.md name the proof of each claim as `path › name` or `path › suite › name`: a test or suite
 * by its title in the source, or a heading of another document.
 */
const documents = ['SECURITY.md', 'docs/asvs.md']

const separator = ' › '
const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

/** Returns the code spans that are references. Line breaks in them count as spaces. */
const referencesOf = (text: string): string[] =>
  text
    .replace(/^```.*?^```/gms, '')
    .split(/\n\s*\n/)
    .flatMap((paragraph) => [...paragraph.matchAll(/`([^`]+)`/g)])
    .map(([, span = '']) => span.replace(/\s+/g, ' '))
    .filter((span) => span.includes(separator.trim()))

/** Returns each test and suite of a source file, as the titles of its suites and its own title. */
function testsOf(source: string): string[][] {
  const found: string[][] = []
  const walk = (node: ts.Node, suites: readonly string[]): void => {
    const name = ts.isCallExpression(node) && /^(it|test|describe)$/.test(calleeOf(node)) && nameOf(node)
    const path = name ? [...suites, name] : suites
    if (name) found.push([...path])
    ts.forEachChild(node, (child) => walk(child, path))
  }
  walk(ts.createSourceFile('', source, ts.ScriptTarget.Latest, true), [])
  return found
}

/** Returns `it` for `it('...')`, `it.each([...])('...')` and other forms. */
function calleeOf({ expression }: ts.CallExpression): string {
  let callee: ts.Node = expression
  while (ts.isCallExpression(callee) || ts.isPropertyAccessExpression(callee)) callee = callee.expression
  return callee.getText()
}

function nameOf({ arguments: [first] }: ts.CallExpression): string | undefined {
  if (!first) return undefined
  if (ts.isStringLiteralLike(first)) return first.text
  return ts.isTemplateExpression(first) ? first.getText().slice(1, -1) : undefined
}

const headingsOf = (text: string): string[][] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, name = '']) => [name])

const named = new Map<string, string[][]>()

/** Returns the titles or headings of a file. */
function namedIn(path: string): string[][] {
  const known = named.get(path)
  if (known) return known
  const isOurs = /^[\w./-]+\.(test\.ts|suite\.ts|md)$/.test(path)
  const text = isOurs && existsSync(new URL(`../../${path}`, import.meta.url)) ? read(path) : ''
  const found = path.endsWith('.md') ? headingsOf(text) : testsOf(text)
  named.set(path, found)
  return found
}

/** Returns whether the referenced test or heading exists within the named suites. */
function exists(reference: string): boolean {
  const [path = '', ...names] = reference.split(separator)
  return namedIn(path).some((candidate) => {
    let at = -1
    for (const name of names) {
      at = candidate.indexOf(name, at + 1)
      if (at < 0) return false
    }
    return at === candidate.length - 1
  })
}

const unknownOf = (text: string): string[] => referencesOf(text).filter((reference) => !exists(reference))

it.each(documents)('%s has no broken reference', (path) => {
  expect(referencesOf(read(path)).length).toBeGreaterThan(10)
  expect(unknownOf(read(path))).toEqual([])
})

it.each(documents)('%s has no › outside a reference', (path) => {
  const looked = referencesOf(read(path)).join().split(separator).length
  expect(read(path).split('›').length).toBe(looked)
})

it.each([
  '`test/security/security-documents.test.ts › %s has a broken reference`',
  '`test/security/security-documents.test.ts › documents`',
  '`test/security/security-documents.test.ts › docs/asvs.md counts its requirements by state › the table of requirements`',
  '`test/nowhere.test.ts › %s has no broken reference`',
  '`docs/asvs.md › No such heading`',
  '`docs/asvs.md › V6`',
  '`src/http/application.ts › internal`',
  '`test/security/security-documents.test.ts ›%s has no broken reference`',
])('a broken reference is found: %s', (reference) => {
  expect(unknownOf(`this is proved by ${reference}, of course`)).toHaveLength(1)
})

it('a reference may contain line breaks and suites', () => {
  const text =
    'proved by `test/security/security-documents.test.ts ›\n  the table of requirements › docs/asvs.md counts\n  its requirements by state`'
  expect(referencesOf(text)).toHaveLength(1)
  expect(unknownOf(text)).toEqual([])
})

/** The requirements of OWASP ASVS 5.0.0, chapters V2, V6, V7, V8 and V9, by level. */
const requirements = {
  1: `2.1.1 2.2.1 2.2.2 2.3.1
    6.1.1 6.2.1 6.2.2 6.2.3 6.2.4 6.2.5 6.2.6 6.2.7 6.2.8 6.3.1 6.3.2 6.4.1 6.4.2
    7.2.1 7.2.2 7.2.3 7.2.4 7.4.1 7.4.2
    8.1.1 8.2.1 8.2.2 8.3.1
    9.1.1 9.1.2 9.1.3 9.2.1`,
  2: `2.1.2 2.1.3 2.2.3 2.3.2 2.3.3 2.3.4 2.4.1
    6.1.2 6.1.3 6.2.9 6.2.10 6.2.11 6.3.3 6.3.4 6.4.3 6.4.4 6.5.1 6.5.2 6.5.3 6.5.4 6.5.5 6.6.1 6.6.2 6.6.3
    6.8.1 6.8.2 6.8.3 6.8.4
    7.1.1 7.1.2 7.1.3 7.3.1 7.3.2 7.4.3 7.4.4 7.4.5 7.5.1 7.5.2 7.6.1 7.6.2
    8.1.2 8.2.3 8.4.1
    9.2.2 9.2.3 9.2.4`,
}

describe('the table of requirements', () => {
  const rows = [...read('docs/asvs.md').matchAll(/^\| (\d+\.\d+\.\d+) \| (.*) \|$/gm)].map(
    ([, id = '', rest = '']) => {
      const [level, asks, state = '', proof = '', ...more] = rest.split(' | ')
      return { id, level: Number(level), asks, state, proof, more }
    },
  )
  const inChapters = rows.filter(({ id }) => !id.startsWith('10.'))

  it('docs/asvs.md has each requirement of levels 1 and 2 once', () => {
    const expected = Object.entries(requirements).flatMap(([level, ids]) =>
      ids.split(/\s+/).map((id) => `${id} (${level})`),
    )
    expect(inChapters.map(({ id, level }) => `${id} (${level})`).toSorted()).toEqual(expected.toSorted())
    expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length)
  })

  it('docs/asvs.md has a proof or an explanation for each requirement', () => {
    const isTest = (reference: string) => /\.(test|suite)\.ts /.test(reference)
    for (const { id, asks, state, proof, more } of rows) {
      const references = referencesOf(proof)
      expect(more, id).toEqual([])
      expect(asks, id).not.toBe('')
      if (state === 'test' || state === 'open in part') expect(references.some(isTest), id).toBe(true)
      else if (state === 'document') expect(references.every(isTest), id).toBe(false)
      else expect(state, id).toMatch(/^(not applicable|open)$/)
      // An open or inapplicable requirement has an explanation.
      if (/^(not|open)/.test(state)) expect(proof.replace(/`[^`]*`/g, '').length, id).toBeGreaterThan(15)
    }
  })

  it('docs/asvs.md counts its requirements by state', () => {
    const of = (wanted: string) => inChapters.filter(({ state }) => state === wanted).length
    const counts = ['test', 'document', 'not applicable', 'open in part', 'open'].map(
      (state) => `${of(state)} ${state}`,
    )
    const counted = read('docs/asvs.md').match(/^\d+ requirements: .*(?=\.$)/m)
    expect(counted?.[0]).toBe(`${inChapters.length} requirements: ${counts.join(', ')}`)
  })
})

it('SECURITY.md lists the words that no password may contain', () => {
  const listed = read('SECURITY.md')
  expect(contextWords.filter((word) => !listed.includes(`\`${word}\``))).toEqual([])
})
