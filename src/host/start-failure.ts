import { fileURLToPath } from 'node:url'
import { StartFailure } from '#kernel/config/config-error.ts'
import { isSystemError, reasonOf } from '#kernel/system-error.ts'

// This file imports no package, so that it can report a missing package.

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Prints why the program cannot start: one message if the cause is known, otherwise the error with its stack. */
export function reportFailure(error: unknown): void {
  console.error(failureText(error) ?? error)
}

function failureText(error: unknown): string | undefined {
  if (error instanceof StartFailure) return error.message
  if (!(error instanceof Error)) return undefined
  const missing = missingPart(error)
  if (missing !== undefined)
    return `The program cannot start: ${missing} is missing. Run npm ci in ${root}, or build the image again`
  if (!isSystemError(error)) return undefined
  const { syscall, path } = error
  return `The program cannot start: ${[syscall, path].filter((part) => part !== undefined).join(' ')}: ${reasonOf(error)}`
}

const incompleteCodes = [
  'ERR_MODULE_NOT_FOUND',
  'MODULE_NOT_FOUND',
  'ERR_PACKAGE_PATH_NOT_EXPORTED',
  'ERR_DLOPEN_FAILED',
]

/** @returns what the installation lacks: a package, a file, or the binary of a package for this platform */
function missingPart(error: Error): string | undefined {
  const { message } = error
  if (message.startsWith('No native build was found'))
    return `the binary of a package (${firstLine(message)})`
  if (!incompleteCodes.includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
  const [, name] = /^Cannot find (?:package|module) '([^']+)'/.exec(message) ?? []
  if (name === undefined) return `part of a package (${firstLine(message)})`
  return /^[./]|^[A-Z]:|^file:/.test(name) ? `the file ${name}` : `the package ${name}`
}

const firstLine = (text: string): string => text.split('\n')[0] ?? ''
