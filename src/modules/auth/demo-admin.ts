import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Registration } from './auth.service.ts'

/** A password of this store's own, kept beside its data: a demo that others can reach has no known one. */
export async function demoAdmin(dataDir: string): Promise<Registration> {
  const file = join(dataDir, 'demo-admin-password')
  await mkdir(dataDir, { recursive: true })
  try {
    await writeFile(file, `${randomBytes(12).toString('base64url')}\n`, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const password = (await readFile(file, 'utf8')).trim()
  return { username: 'admin', email: 'admin@example.com', password }
}
