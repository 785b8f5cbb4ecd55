import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Registration } from './auth.service.ts'
import { keptFile } from './kept-file.ts'

/** A password of this store's own, kept beside its data: a demo that others can reach has no known one. */
export async function demoAdmin(dataDir: string): Promise<Registration> {
  const file = join(dataDir, 'demo-admin-password')
  const password = (await keptFile(file, () => `${randomBytes(12).toString('base64url')}\n`)).trim()
  return { username: 'admin', email: 'admin@example.com', password }
}
