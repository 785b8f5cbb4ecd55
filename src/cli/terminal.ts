import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { read } from 'read'
import { Refusal } from '#kernel/command.ts'

/** More than any password may have, in bytes. */
const longestLine = 4_096

/** Left at the prompt: by Ctrl-C, Ctrl-D, or because the terminal is gone. */
export class Canceled extends Error {
  override readonly name = 'Canceled'
}

/**
 * A secret that nobody sees: asked for twice where a person types it, otherwise the first line of standard input.
 * @throws Refusal if there is none, or the two differ; Canceled
 */
export async function readSecret(what: string): Promise<string> {
  if (!process.stdin.isTTY) return firstLine(what)
  const secret = await ask(`${what}: `)
  if ((await ask(`${what}, again: `)) !== secret) throw new Refusal(`${what}: the two are not the same`)
  return secret
}

async function ask(prompt: string): Promise<string> {
  // Of Ctrl-D and of a terminal that is gone, `read` says nothing: it has only stopped reading then.
  const stopped = once(process.stdin, 'pause').then(() => setImmediate())
  // As a terminal even where the output is a file: otherwise the terminal itself would show what is typed.
  const options = { prompt, silent: true, terminal: true, output: process.stderr }
  const line = await Promise.race([read(options).catch(() => undefined), stopped])
  // The line break that was typed is as hidden as the rest.
  process.stderr.write('\n')
  if (line !== undefined) return line
  throw new Canceled('canceled: nothing was changed')
}

async function firstLine(what: string): Promise<string> {
  let input = Buffer.alloc(0)
  for await (const chunk of process.stdin) {
    input = Buffer.concat([input, chunk])
    if (input.includes('\n') || input.length > longestLine) break
  }
  const end = input.indexOf('\n')
  const bytes = end < 0 ? input : input.subarray(0, end)
  if (bytes.length > longestLine) throw new Refusal(`${what}: the first line of standard input is too long`)
  // Some shells end a line with a blank: `echo secret | ...` does on Windows.
  const line = decode(bytes)?.trimEnd()
  if (line === undefined) throw new Refusal(`${what}: the first line of standard input has to be UTF-8`)
  if (line === '')
    throw new Refusal(`${what}: standard input is empty; its first line has to be the password`)
  return line
}

/** Without the byte order mark that some put first. */
function decode(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}
