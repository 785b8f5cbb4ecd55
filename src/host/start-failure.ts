import { fileURLToPath } from 'node:url'
import { StartFailure } from '#kernel/config/config-error.ts'
import { isSystemError, reasonOf } from '#kernel/system-error.ts'

// This file imports no package: it has to be there when one is missing.

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Prints why the program cannot start: one message where the cause is known, the stack of a defect otherwise. */
export function reportFailure(error: unknown): void {
  console.error(failureText(error) ?? error)
}

function failureText(error: unknown): string | undefined {
  if (error instanceof StartFailure) return error.message
  if (!(error instanceof Error)) return undefined
  const missing = missingPart(error)
  if (missing !== undefined)
    return `The program cannot start: ${missing} is missing. Run npm ci in ${root}; an image has to be built anew`
  if (!isSystemError(error)) return undefined
  const { syscall, path } = error
  return `The program cannot start: ${[syscall, path].filter((part) => part !== undefined).join(' ')}: ${reasonOf(error)}`
}

const incomplete = [
  'ERR_MODULE_NOT_FOUND',
  'MODULE_NOT_FOUND',
  'ERR_PACKAGE_PATH_NOT_EXPORTED',
  'ERR_DLOPEN_FAILED',
]

/** What an installation lacks: a package, a file of one, or its binary for this platform. */
function missingPart(error: Error): string | undefined {
  const { message } = error
  if (message.startsWith('No native build was found'))
    return `the binary of a package (${firstLine(message)})`
  if (!incomplete.includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
  const [, name] = /^Cannot find (?:package|module) '([^']+)'/.exec(message) ?? []
  if (name === undefined) return `part of a package (${firstLine(message)})`
  return /^[./]|^[A-Z]:|^file:/.test(name) ? `the file ${name}` : `the package ${name}`
}

const firstLine = (text: string): string => text.split('\n')[0] ?? ''
