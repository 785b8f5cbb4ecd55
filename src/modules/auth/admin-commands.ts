import type { Call } from '#kernel/call.ts'
import { type Answer, type Command, Refusal } from '#kernel/command.ts'
import type { AdminAccounts } from './admin-accounts.ts'
import { email, password, username } from './credentials.ts'
import { findWeakness } from './passwords/find-weakness.ts'
import type { Names } from './passwords/password-policy.ts'
import { type User, userResponse } from './user.ts'

/**
 * The operators' commands for accounts. They ask for no password of an admin: an operator who can run them has access to the
 * database anyway.
 */
export const adminCommands = (accounts: AdminAccounts): Command[] => [
  {
    name: 'create',
    parameters: ['username', 'e-mail'],
    summary: 'creates an admin account',
    async run([name = '', address = ''], secret, call) {
      const account = {
        username: valid(username, 'username', name),
        email: valid(email, 'e-mail', address),
      }
      const password = await newPassword(account, secret, call)
      const user = await accounts.createAdmin({ ...account, password }, call())
      return answer(`${user.username} is an admin now (${user.userId})`, user)
    },
  },
  {
    name: 'promote',
    parameters: ['username or e-mail'],
    summary: 'makes an account an admin',
    async run([name = ''], _secret, call) {
      const user = await findAccount(accounts, name, call())
      const outcome = await accounts.setRole(user, 'admin', call())
      const result = outcome === 'changed' ? 'is an admin now' : 'is an admin already'
      return answer(`${user.username} ${result}`, { ...user, role: 'admin' })
    },
  },
  {
    name: 'demote',
    parameters: ['username or e-mail'],
    summary: 'makes an admin a customer; refused for the last admin',
    async run([name = ''], _secret, call) {
      const user = await findAccount(accounts, name, call())
      const outcome = await accounts.setRole(user, 'customer', call())
      if (outcome === 'last') {
        throw new Refusal(`${user.username} is the last admin: create or promote another one first`)
      }
      const result = outcome === 'changed' ? 'is a customer now' : 'is not an admin'
      return answer(`${user.username} ${result}`, { ...user, role: 'customer' })
    },
  },
  {
    name: 'list',
    parameters: [],
    summary: 'lists the admins, oldest first',
    async run(_args, _secret, call) {
      const { admins, complete } = await accounts.list(call())
      const rows = [headings, ...admins.map(rowOf)]
      const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
      const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
      if (!complete) lines.push(`There are more admins: these are the oldest ${admins.length}`)
      return { text: lines.join('\n'), json: { admins: admins.map(userResponse), complete } }
    },
  },
  {
    name: 'sign-out',
    parameters: ['username or e-mail'],
    summary: 'ends every session of an account',
    async run([name = ''], _secret, call) {
      const user = await findAccount(accounts, name, call())
      await accounts.endSessions(user, call())
      return answer(`${user.username} is signed out everywhere`, user)
    },
  },
  {
    name: 'reset-password',
    parameters: ['username or e-mail'],
    summary: 'sets the password of an account, and ends every session of it',
    async run([name = ''], secret, call) {
      const user = await findAccount(accounts, name, call())
      const password = await newPassword(user, secret, call)
      if (!(await accounts.resetPassword(user, password, call()))) throw unknownAccount(name)
      return answer(`${user.username} has a new password, and is signed out everywhere`, user)
    },
  },
]

const answer = (text: string, user: User): Answer => ({ text, json: userResponse(user) })

const headings = ['USERNAME', 'E-MAIL', 'ID', 'SINCE']
const rowOf = ({ username, email, userId, createdAt }: User): string[] => [
  username,
  email,
  userId,
  createdAt.toISOString(),
]

const unknownAccount = (name: string) => new Refusal(`${name}: there is no such account`)

async function findAccount(accounts: AdminAccounts, name: string, call: Call): Promise<User> {
  const user = await accounts.find(name, call)
  if (!user) throw unknownAccount(name)
  return user
}

interface Schema {
  safeParse(value: string): { success: boolean; error?: { issues: readonly { message: string }[] } }
}

function valid(schema: Schema, what: string, value: string): string {
  const { success, error } = schema.safeParse(value)
  if (!success) throw new Refusal(`${what}: ${error?.issues.map(({ message }) => message).join('; ')}`)
  return value
}

async function newPassword(
  account: Names,
  secret: (what: string) => Promise<string>,
  call: () => Call,
): Promise<string> {
  const chosen = valid(password, 'password', await secret('new password'))
  const weakness = await findWeakness(chosen, account, call())
  if (weakness) throw new Refusal(`password: ${weakness}`)
  return chosen
}
