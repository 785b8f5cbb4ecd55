import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * A secret that is made once and kept, readable by its owner alone. It appears whole or not at all, and of processes
 * that start together all get the same.
 * @returns the file's content
 */
export async function keptFile(file: string, make: () => string): Promise<string> {
  const existing = await readFile(file, 'utf8').catch(unlessMissing)
  if (existing !== undefined) return existing
  await mkdir(dirname(file), { recursive: true })
  const draft = `${file}.${randomUUID()}`
  await writeFile(draft, make(), { mode: 0o600 })
  try {
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await unlink(draft)
  }
  return readFile(file, 'utf8')
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
