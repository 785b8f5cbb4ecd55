import { randomUUID } from 'node:crypto'
import { link, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dataDirError, withDataDir } from '#kernel/config/data-dir.ts'
import { messageOf } from '#kernel/errors.ts'

/**
 * Reads a secret from a file in DATA_DIR, and creates the file if it is missing. Only its owner can read the file. The file is
 * created atomically, so that processes that start at the same time all get the same secret.
 * @param read parses the text; its error says what is wrong with a damaged file
 * @throws ConfigError if the file is damaged, or cannot be read or created
 */
export async function readOrCreateSecret<Secret>(
  dataDir: string,
  name: string,
  { create, read }: { create: () => string; read: (text: string) => Secret },
): Promise<Secret> {
  const file = join(dataDir, name)
  const text = await withDataDir(dataDir, () => existingOrNew(file, create))
  try {
    return read(text.replace(/^\uFEFF/, '').trimEnd())
  } catch (error) {
    const wrong = messageOf(error)
    throw dataDirError(dataDir, `${file} is damaged: it ${wrong}; delete the file to create a new one`)
  }
}

async function existingOrNew(file: string, create: () => string): Promise<string> {
  const existing = await readFile(file, 'utf8').catch(unlessMissing)
  if (existing !== undefined) return existing
  const draft = `${file}.${randomUUID()}`
  try {
    await writeFile(draft, create(), { mode: 0o600 })
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
