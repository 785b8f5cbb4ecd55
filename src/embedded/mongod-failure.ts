import { open } from 'node:fs/promises'

/** Why there is no MongoDB, for a person. */
export class MongodFailure extends Error {
  override readonly name = 'MongodFailure'
  /** Whether its data directory is to blame; the message then completes "<directory> cannot be used: ". */
  readonly isOfDataDir: boolean
  constructor(
    message: string,
    { isOfDataDir = false, cause }: { isOfDataDir?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause })
    this.isOfDataDir = isOfDataDir
  }
}

// What mongod says of its files, and what it means.
const causes: readonly (readonly [RegExp, string])[] = [
  [/No space left on device/, 'no space is left on the disk'],
  [/Disk quota exceeded/, "the user's disk quota is used up"],
  [/Read-only file system/, 'the file system is read-only'],
  [
    /Permission denied|Operation not permitted|read-only directory/,
    'the user of this process has no right to its files',
  ],
  [/Too many open files|EMFILE/, 'a process may have too few files open (ulimit -n)'],
  [
    /Is a directory|Not a directory|not a directory/,
    'a folder is in the place of one of its files, or a file in the place of a folder',
  ],
  [
    /featureCompatibilityVersion|unsupported WiredTiger file version|too recent to start up/,
    'another version of MongoDB has written its data (MONGOD_BINARY names the mongod to use)',
  ],
  [
    /WT_TRY_SALVAGE|checksum error|Data corruption detected|corrupt/,
    'its data is damaged: put a copy in its place, or remove it',
  ],
]

export const isLockedByAnother = (complaints: string): boolean => complaints.includes('DBPathInUse')

/** The cause that the complaints of a mongod tell of, if it is one of its data directory. */
export const causeOf = (complaints: string): string | undefined =>
  causes.find(([pattern]) => pattern.test(complaints))?.[1]

const longestReadBytes = 1_048_576

/** What mongod has logged as an error or as fatal, from that byte of its log on: one line for each. */
export async function complaintsIn(logFile: string, fromByte: number, printed: string): Promise<string> {
  const lines = `${await textFrom(logFile, fromByte)}\n${printed}`.split('\n')
  return lines.filter((line) => /^\{"t":.*"s":"[EF]"/.test(line)).join('\n')
}

/** Empty where there is no log yet, or something else in its place. */
async function textFrom(file: string, fromByte: number): Promise<string> {
  try {
    const handle = await open(file, 'r')
    const buffer = Buffer.alloc(longestReadBytes)
    const { bytesRead } = await handle
      .read(buffer, 0, longestReadBytes, fromByte)
      .finally(() => handle.close())
    return buffer.toString('utf8', 0, bytesRead)
  } catch {
    return ''
  }
}

/** The last complaint in mongod's own words. */
export function lastOf(complaints: string): string | undefined {
  const entry = complaints
    .split('\n')
    .flatMap((line) => /"(?:errmsg|error|reason)":"((?:[^"\\]|\\.)+)"/.exec(line)?.[1] ?? [])
    .at(-1)
  return entry?.replaceAll('\\"', '"').slice(0, 300)
}
