/** What the log leaves out of a terminal, where nothing else was asked for. */
export const briefLog = 'Log        warnings and errors; LOG_LEVEL=info shows each request'

/** While a process ends in order at a terminal whose log says nothing of it. */
export const stopping = '\nTrivet is stopping. Ctrl-C once more ends it at once.'

/** What a person who started Trivet wants to know first. */
export function banner(shape: string, url: string, lines: readonly string[]): string {
  const facts = [`API        ${url}`, `Reference  ${url}/docs`, ...lines]
  return ['', `Trivet is ready (${shape})`, ...facts.map((fact) => `  ${fact}`), ''].join('\n')
}
