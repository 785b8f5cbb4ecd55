import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'

/** Collects the text of streams from now on. Returns a function that gives all of it so far. */
export function textOf(...streams: (Readable | null)[]): () => string {
  let text = ''
  for (const stream of streams) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  }
  return () => text
}

/** Collects the output of a process, of both its streams. */
export const outputOf = ({ stdout, stderr }: ChildProcess): (() => string) => textOf(stdout, stderr)
