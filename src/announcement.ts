/** What a person who started Trivet wants to know first. */
export function announcement(shape: string, port: number, lines: readonly string[]): string {
  const url = `http://localhost:${port}`
  const facts = [`API        ${url}`, `Reference  ${url}/docs`, ...lines]
  return ['', `Trivet is ready (${shape})`, ...facts.map((fact) => `  ${fact}`), ''].join('\n')
}
