/** An error that the operating system has reported, for example about a file, a socket, a process or a host name. */
export interface SystemError extends Error {
  code: string
  syscall: string
  path?: string
}

export const isSystemError = (error: unknown): error is SystemError => {
  const { code, syscall } = (error ?? {}) as Partial<SystemError>
  return error instanceof Error && typeof code === 'string' && typeof syscall === 'string'
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'the user of this process has no permission',
  EDQUOT: "the user's disk quota is used up",
  EEXIST: 'a file of that name already exists',
  EFBIG: 'the file would be larger than is allowed',
  EIO: 'the disk cannot be read or written',
  EISDIR: 'it is a folder, not a file',
  ELOOP: 'its symbolic links form a loop',
  EMFILE: 'this process has too many files open (ulimit -n)',
  ENAMETOOLONG: 'its name is too long',
  ENFILE: 'this machine has too many files open',
  ENOENT: 'there is no such file or folder',
  ENOSPC: 'no space is left on the disk',
  ENOTDIR: 'part of the path is a file, not a folder',
  EPERM: 'the system does not allow it',
  EROFS: 'the file system is read-only',
}

/** Describes the cause, with the system's error code. */
export const reasonOf = ({ code, message }: SystemError): string =>
  reasons[code] ? `${reasons[code]} (${code})` : message
