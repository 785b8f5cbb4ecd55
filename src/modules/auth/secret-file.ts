import { randomUUID } from 'node:crypto'
import { link, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dataDirError, withDataDir } from '#kernel/config/data-dir.ts'

/**
 * A secret of DATA_DIR that is made once and kept, readable by its owner alone. It appears whole or not at all, and of
 * processes that start together all get the same.
 * @param read what the secret is in the file's text; it throws an error that says what is wrong with a damaged one
 * @throws ConfigError if the file is damaged, or cannot be read or made
 */
export async function keptFile<Secret>(
  dataDir: string,
  name: string,
  { make, read }: { make: () => string; read: (text: string) => Secret },
): Promise<Secret> {
  const file = join(dataDir, name)
  const text = await withDataDir(dataDir, () => existingOrNew(file, make))
  try {
    return read(text.replace(/^\uFEFF/, '').trimEnd())
  } catch (error) {
    const wrong = error instanceof Error ? error.message : String(error)
    throw dataDirError(dataDir, `${file} is damaged: it ${wrong}; without the file, a new one is made`)
  }
}

async function existingOrNew(file: string, make: () => string): Promise<string> {
  const existing = await readFile(file, 'utf8').catch(unlessMissing)
  if (existing !== undefined) return existing
  const draft = `${file}.${randomUUID()}`
  try {
    await writeFile(draft, make(), { mode: 0o600 })
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft, { force: true })
  }
  return readFile(file, 'utf8')
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
