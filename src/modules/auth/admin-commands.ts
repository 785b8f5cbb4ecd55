import type { Call } from '#kernel/call.ts'
import { type Command, type CommandInput, type CommandResult, Refusal } from '#kernel/command.ts'
import { validationMessage } from '#kernel/validation-messages.ts'
import type { AdminAccounts } from './admin-accounts.ts'
import { email, password, username } from './credentials.ts'
import { findWeakness } from './passwords/find-weakness.ts'
import type { Names } from './passwords/password-policy.ts'
import { type User, userResponse } from './user.ts'

/**
 * The operators' commands for accounts. They ask for no password of an admin: an operator who can run them has access to the
 * database anyway.
 */
export const adminCommands: readonly Command<AdminAccounts>[] = [
  {
    name: 'create',
    parameters: ['username', 'e-mail'],
    summary: 'creates an admin account',
    async run(accounts, { args: [name = '', address = ''], ...input }) {
      const account = {
        username: valid(username, 'username', name),
        email: valid(email, 'e-mail', address),
      }
      const password = await newPassword(account, input)
      const user = await accounts.create({ ...account, password }, 'admin', input.createCall())
      return resultOf(`${user.username} is an admin now (${user.userId})`, user)
    },
  },
  {
    name: 'promote',
    parameters: ['username or e-mail'],
    summary: 'makes an account an admin',
    async run(accounts, { args: [name = ''], createCall }) {
      const user = await findAccount(accounts, name, createCall())
      if (await accounts.hasPublicPassword(user, createCall())) {
        throw new Refusal(
          `${user.username} has the password of the demo's customer, which is public: reset the password first`,
        )
      }
      const outcome = await accounts.setRole(user, 'admin', createCall())
      const result = outcome === 'changed' ? 'is an admin now' : 'is an admin already'
      return resultOf(`${user.username} ${result}`, { ...user, role: 'admin' })
    },
  },
  {
    name: 'demote',
    parameters: ['username or e-mail'],
    summary: 'makes an admin a customer; refused for the last admin',
    async run(accounts, { args: [name = ''], createCall }) {
      const user = await findAccount(accounts, name, createCall())
      const outcome = await accounts.setRole(user, 'customer', createCall())
      if (outcome === 'last') {
        throw new Refusal(`${user.username} is the last admin: create or promote another one first`)
      }
      const result = outcome === 'changed' ? 'is a customer now' : 'is not an admin'
      return resultOf(`${user.username} ${result}`, { ...user, role: 'customer' })
    },
  },
  {
    name: 'list',
    parameters: [],
    summary: 'lists the admins, oldest first',
    async run(accounts, { createCall }) {
      const { admins, complete } = await accounts.list(createCall())
      return {
        table: [headings, ...admins.map(rowOf)],
        ...(!complete && { text: `There are more admins: these are the oldest ${admins.length}` }),
        json: { admins: admins.map(userResponse), complete },
      }
    },
  },
  {
    name: 'sign-out',
    parameters: ['username or e-mail'],
    summary: 'ends every session of an account',
    async run(accounts, { args: [name = ''], createCall }) {
      const user = await findAccount(accounts, name, createCall())
      await accounts.endSessions(user, createCall())
      return resultOf(`${user.username} is signed out everywhere`, user)
    },
  },
  {
    name: 'reset-password',
    parameters: ['username or e-mail'],
    summary: 'sets the password of an account, and ends every session of it',
    async run(accounts, { args: [name = ''], ...input }) {
      const user = await findAccount(accounts, name, input.createCall())
      const password = await newPassword(user, input)
      if (!(await accounts.resetPassword(user, password, input.createCall()))) throw unknownAccount(name)
      return resultOf(`${user.username} has a new password, and is signed out everywhere`, user)
    },
  },
]

const resultOf = (text: string, user: User): CommandResult => ({ text, json: userResponse(user) })

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

type Schema = typeof username | typeof email | typeof password

function valid(schema: Schema, what: string, value: string): string {
  const { success, error } = schema.safeParse(value, { error: validationMessage })
  if (!success) throw new Refusal(`${what}: ${error.issues.map(({ message }) => message).join('; ')}`)
  return value
}

async function newPassword(
  account: Names,
  { readSecret, createCall }: Pick<CommandInput, 'readSecret' | 'createCall'>,
): Promise<string> {
  const chosen = valid(password, 'password', await readSecret('new password'))
  const weakness = await findWeakness(chosen, account, createCall())
  if (weakness) throw new Refusal(`password: ${weakness}`)
  return chosen
}
