import { type Command, Refusal, type Terminal } from '../../kernel/command.ts'
import type { AuthService } from './auth.service.ts'
import { email, password, username } from './credentials.ts'
import { weaknessOf } from './password-policy.ts'
import type { User } from './user.repository.ts'

/** What operators do with accounts. Whoever may run these may do anything that an admin may, and is not asked who they are. */
export const adminCommands = (service: AuthService): Command[] => [
  {
    name: 'create',
    parameters: ['username', 'e-mail'],
    summary: 'a new admin account',
    async run([name = '', address = ''], terminal, call) {
      const account = {
        username: valid(username, 'username', name),
        email: valid(email, 'e-mail', address),
      }
      const user = await service.createAdmin(
        { ...account, password: await newPassword(account, terminal) },
        call(),
      )
      terminal.print(`${user.username} is an admin now (${user.userId})`)
    },
  },
  {
    name: 'promote',
    parameters: ['username or e-mail'],
    summary: 'makes an account an admin',
    async run([name = ''], terminal, call) {
      const user = await service.account(name, call())
      const outcome = user && (await service.setRole(user, 'admin', call()))
      if (!outcome) throw unknownAccount(name)
      terminal.print(
        outcome === 'changed' ? `${user.username} is an admin now` : `${user.username} is an admin already`,
      )
    },
  },
  {
    name: 'demote',
    parameters: ['username or e-mail'],
    summary: 'makes an admin a customer; not the last one',
    async run([name = ''], terminal, call) {
      const user = await service.account(name, call())
      const outcome = user && (await service.setRole(user, 'customer', call()))
      if (!outcome) throw unknownAccount(name)
      if (outcome === 'last') {
        throw new Refusal(`${user.username} is the last admin: create or promote another one first`)
      }
      terminal.print(
        outcome === 'changed' ? `${user.username} is a customer now` : `${user.username} is no admin`,
      )
    },
  },
  {
    name: 'list',
    parameters: [],
    summary: 'the admins, the oldest first',
    async run(_args, terminal, call) {
      const rows = (await service.admins(call())).map(rowOf)
      const widths = [0, 1, 2].map((column) =>
        Math.max(...[heads, ...rows].map((row) => row[column]?.length ?? 0)),
      )
      for (const row of [heads, ...rows])
        terminal.print(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    },
  },
  {
    name: 'sign-out',
    parameters: ['username or e-mail'],
    summary: 'ends every session of any account',
    async run([name = ''], terminal, call) {
      const user = await service.account(name, call())
      if (!user) throw unknownAccount(name)
      await service.endSessions(user, call())
      terminal.print(`${user.username} is signed out everywhere`)
    },
  },
  {
    name: 'reset-password',
    parameters: ['username or e-mail'],
    summary: 'gives any account a new password, and signs it out everywhere',
    async run([name = ''], terminal, call) {
      const user = await service.account(name, call())
      if (!user) throw unknownAccount(name)
      const password = await newPassword(user, terminal)
      if (!(await service.resetPassword(user, password, call()))) throw unknownAccount(name)
      terminal.print(`${user.username} has a new password, and is signed out everywhere`)
    },
  },
]

const heads = ['USERNAME', 'E-MAIL', 'ID', 'SINCE']
const rowOf = ({ username, email, userId, createdAt }: User): string[] => [
  username,
  email,
  userId,
  createdAt.toISOString(),
]

const unknownAccount = (name: string) => new Refusal(`${name}: there is no such account`)

interface Schema {
  safeParse(value: string): { success: boolean; error?: { issues: readonly { message: string }[] } }
}

function valid(schema: Schema, what: string, value: string): string {
  const { success, error } = schema.safeParse(value)
  if (!success) throw new Refusal(`${what}: ${error?.issues.map(({ message }) => message).join('; ')}`)
  return value
}

async function newPassword(
  account: { username: string; email: string },
  terminal: Terminal,
): Promise<string> {
  const secret = valid(password, 'password', await terminal.secret('new password'))
  const weakness = weaknessOf(secret, account)
  if (weakness) throw new Refusal(`password: ${weakness}`)
  return secret
}
