import { randomBytes } from 'node:crypto'
import type { Registration } from './auth.service.ts'
import { password as passwordSchema } from './credentials.ts'
import { keptFile } from './secret-file.ts'

/** A password of this store's own, kept beside its data: a demo that others can reach has no known one. */
export async function demoAdmin(dataDir: string): Promise<Registration> {
  const password = await keptFile(dataDir, 'demo-admin-password', {
    make: () => `${randomBytes(12).toString('base64url')}\n`,
    read(text) {
      if (!passwordSchema.safeParse(text).success) throw new Error('must hold a password')
      return text
    },
  })
  return { username: 'admin', email: 'admin@example.com', password }
}
