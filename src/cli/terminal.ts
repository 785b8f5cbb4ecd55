import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { read } from 'read'
import { Refusal } from '#kernel/command.ts'

// This is longer than the longest password that is accepted.
const maxLineBytes = 4_096

/** The operator left the prompt with Ctrl-C or Ctrl-D, or the terminal was closed. */
export class Cancelled extends Error {
  override readonly name = 'Cancelled'
}

/**
 * Reads a secret. At a terminal the operator types it twice, and it is not shown. Otherwise it is the first line of
 * standard input.
 * @param name names the secret in prompts and messages
 * @throws Refusal if there is no secret, or the operator typed two different secrets
 * @throws Cancelled
 */
export async function readSecret(name: string): Promise<string> {
  if (!process.stdin.isTTY) return readFirstLine(name)
  const secret = await prompt(`${name}: `)
  if ((await prompt(`${name}, again: `)) !== secret)
    throw new Refusal(`${name}: the two inputs are not the same`)
  return secret
}

async function prompt(text: string): Promise<string> {
  // At Ctrl-D, or when the terminal is closed, `read` never settles. It only pauses standard input.
  const stopped = once(process.stdin, 'pause').then(() => setImmediate())
  // `terminal` must be set even if the output is a file, because otherwise the terminal itself shows what is typed.
  const options = { prompt: text, silent: true, terminal: true, output: process.stderr }
  const line = await Promise.race([read(options).catch(() => undefined), stopped])
  // `read` does not show the line break that the operator has typed either.
  process.stderr.write('\n')
  if (line !== undefined) return line
  throw new Cancelled('cancelled: nothing was changed')
}

async function readFirstLine(name: string): Promise<string> {
  let input = Buffer.alloc(0)
  for await (const chunk of process.stdin) {
    input = Buffer.concat([input, chunk])
    if (input.includes('\n') || input.length > maxLineBytes) break
  }
  const end = input.indexOf('\n')
  const bytes = end < 0 ? input : input.subarray(0, end)
  if (bytes.length > maxLineBytes) throw new Refusal(`${name}: the first line of standard input is too long`)
  // `echo secret | ...` on Windows puts a space at the end of the line.
  const line = decode(bytes)?.trimEnd()
  if (line === undefined) throw new Refusal(`${name}: the first line of standard input must be UTF-8`)
  if (line === '') throw new Refusal(`${name}: standard input is empty; its first line must be the password`)
  return line
}

/** Removes a byte order mark. @returns undefined if the bytes are not UTF-8 */
function decode(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}
