import { closeSync, openSync, readSync } from 'node:fs'
import { isSystemError, reasonOf } from '#kernel/system-error.ts'

/** Removes the characters that editors and shells add: a byte order mark at the start, white space and line ends at the end. */
const trimValue = (text: string): string => text.replace(/^\uFEFF/, '').trimEnd()

/** The variables with a value. An empty variable counts as unset, because compose files and shells omit a value like this. */
export function nonEmptyVariables(environment: NodeJS.ProcessEnv): Record<string, string> {
  const values = Object.entries(environment).map(([name, value]) => [name, trimValue(value ?? '')] as const)
  return Object.fromEntries(values.filter(([, value]) => value !== ''))
}

const maxFileBytes = 1_048_576

/**
 * Reads a setting from a file.
 * @returns an empty text if the file is empty
 * @throws Error with a message that follows the name of the variable
 */
export function readSettingFile(path: string): string {
  let bytes: Buffer
  try {
    bytes = readBounded(path)
  } catch (error) {
    throw new Error(`cannot be read: ${path}: ${isSystemError(error) ? reasonOf(error) : error}`)
  }
  if (bytes.length > maxFileBytes) throw new Error(`must name a file of 1 MiB or less: ${path}`)
  const text = decodeUtf8(bytes)
  // A NUL byte shows that the file is UTF-16, which stores one beside each ASCII character.
  if (text === undefined || text.includes('\0'))
    throw new Error(`must name a file with text in UTF-8: ${path}`)
  return trimValue(text)
}

/** Reads at most one byte more than allowed, because reading a device may never end. */
function readBounded(path: string): Buffer {
  const file = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(maxFileBytes + 1)
    let length = 0
    for (let read = -1; read !== 0 && length < buffer.length; length += read)
      read = readSync(file, buffer, length, buffer.length - length, null)
    return buffer.subarray(0, length)
  } finally {
    closeSync(file)
  }
}

function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}
