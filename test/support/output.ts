import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'

// A load of a minute may print gigabytes.
const maxCharacters = 64 * 1_048_576

/**
 * Collects the text of streams from now on.
 * @returns a function that gives all of it so far, or its first 64 Mi characters and a line that says so
 */
export function textOf(...streams: (Readable | null)[]): () => string {
  let text = ''
  let isCut = false
  for (const stream of streams) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      isCut ||= text.length + chunk.length > maxCharacters
      if (!isCut) text += chunk
    })
  }
  return () => (isCut ? `${text}\n(${maxCharacters} characters were kept)\n` : text)
}

/** Collects the output of a process, of both its streams. */
export const outputOf = ({ stdout, stderr }: ChildProcess): (() => string) => textOf(stdout, stderr)
