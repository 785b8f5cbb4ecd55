/** What a person who started Trivet wants to know first. */
export function announcement(shape: string, url: string, lines: readonly string[]): string {
  const facts = [`API        ${url}`, `Reference  ${url}/docs`, ...lines]
  return ['', `Trivet is ready (${shape})`, ...facts.map((fact) => `  ${fact}`), ''].join('\n')
}
