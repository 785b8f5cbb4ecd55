import { expect, it, vi } from 'vitest'
import { createCall } from '#kernel/call.ts'
import { createAccounts } from './accounts.ts'
import { createAdminAccounts } from './admin-accounts.ts'
import { createRefreshTokens } from './sessions/refresh-tokens.ts'

const tooManyChanges = {
  code: 'dependency_unavailable',
  message: expect.stringContaining('changes too often'),
}
const user = {
  userId: 'a'.repeat(24),
  username: 'ada',
  email: 'ada@example.com',
  role: 'customer',
  passwordHash: 'a hash',
  sessionEpoch: 0,
  createdAt: new Date(),
}

/** Accounts whose stored hash changes before every write, so that each compare-and-set is lost. */
function contendedAccounts() {
  const changePassword = vi.fn(async () => false)
  const users = { find: async () => user, changePassword } as never
  const passwords = { hash: async () => 'another hash', requirePlace: () => undefined } as never
  const record = vi.fn()
  return { changePassword, users, passwords, record }
}

it('a change of the password fails as dependency_unavailable after ten lost compare-and-sets', async () => {
  const { changePassword, record, ...repositories } = contendedAccounts()
  const accounts = createAccounts({
    ...repositories,
    record,
    checkPassword: async () => true,
    limits: {} as never,
  })
  const change = { userId: user.userId, currentPassword: 'old', newPassword: 'staples for the battery' }
  const client = { address: '192.0.2.1', network: '192.0.2.1' }
  await expect(accounts.changePassword(change, client, createCall(10_000, 'test'))).rejects.toMatchObject(
    tooManyChanges,
  )
  expect(changePassword).toHaveBeenCalledTimes(10)
  expect(record).not.toHaveBeenCalled()
})

it('a reset of the password fails as dependency_unavailable after ten lost compare-and-sets', async () => {
  const { changePassword, record, ...repositories } = contendedAccounts()
  const accounts = createAdminAccounts({ ...repositories, record })
  const reset = accounts.resetPassword(
    { ...user, role: 'customer' },
    'staples for the battery',
    createCall(10_000, 'test'),
  )
  await expect(reset).rejects.toMatchObject(tooManyChanges)
  expect(changePassword).toHaveBeenCalledTimes(10)
  expect(record).not.toHaveBeenCalled()
})

it('a rotation of a refresh token fails as dependency_unavailable after three lost compare-and-sets', async () => {
  let stored: unknown
  const rotate = vi.fn(async () => false)
  const end = vi.fn()
  const families = {
    add: async (family: unknown) => {
      stored = family
    },
    find: async () => stored,
    findLatest: async () => stored,
    rotate,
    end,
  } as never
  const refreshTokens = createRefreshTokens({ families, lifetimeMs: 60_000 })
  const token = await refreshTokens.issue(user, createCall(10_000, 'test'))
  await expect(refreshTokens.rotate(token, createCall(10_000, 'test'))).rejects.toMatchObject(tooManyChanges)
  expect(rotate).toHaveBeenCalledTimes(3)
  expect(end).not.toHaveBeenCalled()
})
