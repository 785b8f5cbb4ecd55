import ts from 'typescript'

const lineOf = (file: ts.SourceFile, position: number): number =>
  file.getLineAndCharacterOfPosition(position).line + 1

function nodesOf(file: ts.SourceFile): ts.Node[] {
  const nodes: ts.Node[] = []
  const visit = (node: ts.Node) => {
    nodes.push(node)
    ts.forEachChild(node, visit)
  }
  visit(file)
  return nodes
}

export interface FoundFunction {
  /** The name of the function, or of what it is assigned to. */
  name: string
  line: number
  lines: number
}

/** Lists the functions of a file with their length, from the first line of the signature to the closing brace. */
export function functionsOf(name: string, text: string): FoundFunction[] {
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true)
  return nodesOf(file)
    .filter((node) => ts.isFunctionLike(node) && 'body' in node)
    .map((node) => {
      const named = [node, node.parent].find((each) => 'name' in each) as ts.NamedDeclaration | undefined
      const line = lineOf(file, node.getStart(file))
      return {
        name: named?.name?.getText(file) ?? 'a function',
        line,
        lines: lineOf(file, node.getEnd()) - line + 1,
      }
    })
}

const timeName =
  /(timeout|delay|interval|lifetime|window|backoff|pause|ttl|elapsed|duration|within|after|grace|skew|maxAge|wait)$/i

/** Names that a protocol dictates. */
const dictatedNames: ReadonlySet<string> = new Set([
  // The member of a problem document is named after the header Retry-After. Both are in seconds.
  'retryAfter',
])

/** Lists the constants, parameters and properties that are declared in a file, hold a time, and have a name without a unit. */
export function timesWithoutUnit(program: ts.Program, file: ts.SourceFile): string[] {
  const checker = program.getTypeChecker()
  const isNumber = (node: ts.Node): boolean => {
    const type = checker.getNonNullableType(checker.getTypeAtLocation(node))
    const parts = type.isUnion() ? type.types : [type]
    return parts.every(({ flags }) => (flags & ts.TypeFlags.NumberLike) !== 0)
  }
  /** The type of an object literal often comes from its context, such as a library. Its members are declared there. */
  const isDeclaredElsewhere = (node: ts.Node, name: string): boolean => {
    if (!ts.isObjectLiteralExpression(node.parent)) return false
    const type = checker.getContextualType(node.parent)
    return (type?.isUnion() ? type.types : [type]).some((each) => each?.getProperty(name) !== undefined)
  }
  const isDeclaration = (node: ts.Node): node is ts.NamedDeclaration =>
    ts.isVariableDeclaration(node) ||
    ts.isParameter(node) ||
    ts.isBindingElement(node) ||
    ts.isPropertySignature(node) ||
    ts.isPropertyDeclaration(node) ||
    ts.isPropertyAssignment(node) ||
    ts.isShorthandPropertyAssignment(node)

  return nodesOf(file).flatMap((node) => {
    if (!isDeclaration(node) || !node.name || !ts.isIdentifier(node.name)) return []
    const name = node.name.text
    if (!timeName.test(name) || dictatedNames.has(name)) return []
    if (!isNumber(node.name) || isDeclaredElsewhere(node, name)) return []
    return [`${file.fileName}:${lineOf(file, node.getStart(file))} ${name}`]
  })
}

interface SourceFile {
  name: string
  text: string
}

const lineCount = ({ text }: SourceFile): number => text.trimEnd().split('\n').length

export const filesLongerThan = (maxLines: number, files: readonly SourceFile[]): string[] =>
  files.filter((file) => lineCount(file) > maxLines).map(({ name }) => name)

export const medianLength = (files: readonly SourceFile[]): number => median(files.map(lineCount))

const median = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0
