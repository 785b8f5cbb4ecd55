import { closeSync, openSync, readSync } from 'node:fs'
import { isSystemError, reasonOf } from '#kernel/system-error.ts'

/** A value without what editors and shells add to it: a byte order mark before it, white space and line ends after it. */
const trimmed = (text: string): string => text.replace(/^\uFEFF/, '').trimEnd()

/** The variables that have a value. An empty one is an unset one: compose files and shells leave out a value like that. */
export function nonEmptyVariables(environment: NodeJS.ProcessEnv): Record<string, string> {
  const values = Object.entries(environment).map(([name, value]) => [name, trimmed(value ?? '')] as const)
  return Object.fromEntries(values.filter(([, value]) => value !== ''))
}

const longestFileBytes = 1_048_576

/**
 * The value that a file holds, empty where it holds none.
 * @throws Error whose message completes "<variable> "
 */
export function readSettingFile(path: string): string {
  let bytes: Buffer
  try {
    bytes = readBounded(path)
  } catch (error) {
    throw new Error(`cannot be read: ${path}: ${isSystemError(error) ? reasonOf(error) : error}`)
  }
  if (bytes.length > longestFileBytes) throw new Error(`must name a file of 1 MiB or less: ${path}`)
  const text = decoded(bytes)
  // A NUL is what UTF-16 has beside each ASCII character.
  if (text === undefined || text.includes('\0'))
    throw new Error(`must name a file with text in UTF-8: ${path}`)
  return trimmed(text)
}

/** At most one byte more than a file may have: a device has no end. */
function readBounded(path: string): Buffer {
  const file = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(longestFileBytes + 1)
    let length = 0
    for (let read = -1; read !== 0 && length < buffer.length; length += read)
      read = readSync(file, buffer, length, buffer.length - length, null)
    return buffer.subarray(0, length)
  } finally {
    closeSync(file)
  }
}

function decoded(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}
