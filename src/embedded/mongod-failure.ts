import { open } from 'node:fs/promises'

/** Why the embedded MongoDB does not run. The message is for the operator. */
export class MongodFailure extends Error {
  override readonly name = 'MongodFailure'
  /** Whether the data directory is the cause. The message then follows the words "<directory> cannot be used: ". */
  readonly isOfDataDir: boolean
  constructor(
    message: string,
    { isOfDataDir = false, cause }: { isOfDataDir?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause })
    this.isOfDataDir = isOfDataDir
  }
}

// Texts in mongod's log that show a fault of its files, and the messages about them for the operator.
const causes: readonly (readonly [RegExp, string])[] = [
  [/No space left on device/, 'no space is left on the disk'],
  [/Disk quota exceeded/, "the user's disk quota is used up"],
  [/Read-only file system/, 'the file system is read-only'],
  [/Permission denied|Operation not permitted|read-only directory/, 'this user may not access its files'],
  [/Too many open files|EMFILE/, 'the limit of open files is too low (ulimit -n)'],
  [
    /Is a directory|Not a directory|not a directory/,
    'it has a folder where MongoDB needs a file, or a file where MongoDB needs a folder',
  ],
  [
    /featureCompatibilityVersion|unsupported WiredTiger file version|too recent to start up/,
    'another version of MongoDB wrote its data (set MONGOD_BINARY to that version of mongod)',
  ],
  [
    /WT_TRY_SALVAGE|checksum error|Data corruption detected|corrupt/,
    'its data is damaged: restore a backup, or remove it',
  ],
]

export const isLockedByAnother = (errorLines: string): boolean => errorLines.includes('DBPathInUse')

/** @returns a message for the operator if the data directory is the cause */
export const causeOf = (errorLines: string): string | undefined =>
  causes.find(([pattern]) => pattern.test(errorLines))?.[1]

const maxReadBytes = 1_048_576

/**
 * @returns the lines about errors that mongod printed, and the lines about errors in its log after the position
 * `fromByte`
 */
export async function errorLinesIn(logFile: string, fromByte: number, printed: string): Promise<string> {
  const lines = `${await textFrom(logFile, fromByte)}\n${printed}`.split('\n')
  return lines.filter((line) => /^\{"t":.*"s":"[EF]"/.test(line)).join('\n')
}

/** @returns an empty text if the file cannot be read */
async function textFrom(file: string, fromByte: number): Promise<string> {
  try {
    const handle = await open(file, 'r')
    const buffer = Buffer.alloc(maxReadBytes)
    const { bytesRead } = await handle.read(buffer, 0, maxReadBytes, fromByte).finally(() => handle.close())
    return buffer.toString('utf8', 0, bytesRead)
  } catch {
    return ''
  }
}

/** @returns the last error, as mongod describes it */
export function lastOf(errorLines: string): string | undefined {
  const entry = errorLines
    .split('\n')
    .flatMap((line) => /"(?:errmsg|error|reason)":"((?:[^"\\]|\\.)+)"/.exec(line)?.[1] ?? [])
    .at(-1)
  return entry?.replaceAll('\\"', '"').slice(0, 300)
}
