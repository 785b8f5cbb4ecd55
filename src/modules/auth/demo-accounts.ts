import { randomBytes } from 'node:crypto'
import type { Registration } from './accounts.ts'
import { password as passwordSchema } from './credentials.ts'
import { readOrCreateSecret } from './secret-file.ts'

/**
 * The demo's customer, with the credentials of the examples in the OpenAPI document. Its password is public, because any client
 * may register a customer and gains nothing by using this one.
 */
export const demoCustomer: Registration = {
  username: 'demo',
  email: 'demo@example.com',
  password: 'two cups of coffee',
}

/**
 * The demo's admin. Its password is random and is kept in DATA_DIR, because attackers would know a
 * fixed password, and a demo may be reachable from the internet.
 */
export async function demoAdmin(dataDir: string): Promise<Registration> {
  const password = await readOrCreateSecret(dataDir, 'demo-admin-password', {
    create: () => `${randomBytes(12).toString('base64url')}\n`,
    read(text) {
      if (!passwordSchema.safeParse(text).success) throw new Error('must hold a password')
      return text
    },
  })
  return { username: 'admin', email: 'admin@example.com', password }
}
