import { generateKeyPairSync, sign, subtle } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import bcrypt from 'bcrypt'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createPasswords } from './hashing.ts'

const inTime = (milliseconds: number) => ({ deadline: Date.now() + milliseconds, requestId: 'passwords' })
const threads = 4
const atOnce = Math.max(1, Math.min(availableParallelism(), threads) - 1)

afterEach(() => {
  vi.restoreAllMocks()
})

describe('a flood of sign-ins', () => {
  it('ends each at its deadline, and leaves nothing behind that makes the next one wait', async () => {
    const passwords = createPasswords({ cost: 11, threads })
    const hash = await passwords.hash('correct horse', inTime(10_000))
    const flood = Array.from({ length: atOnce * 40 }, (_, n) =>
      // The first in line is served however slow the machine is.
      passwords
        .verify('wrong', hash, inTime(n === 0 ? 10_000 : 600))
        .catch((error: { code?: string }) => error.code),
    )
    const outcomes = await Promise.all(flood)
    expect(outcomes).toContain(false)
    expect(outcomes).toContain('dependency_unavailable')
    // Whoever comes now is not behind those who are gone.
    expect(await passwords.verify('correct horse', hash, inTime(10_000))).toBe(true)
  })

  it('is refused beyond a bound', async () => {
    const passwords = createPasswords({ cost: 4, threads })
    const flood = Array.from({ length: atOnce * 64 + 50 }, () =>
      passwords.verify('wrong', undefined, inTime(20_000)).catch((error: { code?: string }) => error.code),
    )
    const outcomes = await Promise.all(flood)
    expect(outcomes).toContain('overloaded')
    expect(outcomes.filter((outcome) => outcome === false).length).toBeGreaterThanOrEqual(atOnce * 64)
  })

  it('lets files, names and signatures have their turn before it ends', async () => {
    const passwords = createPasswords({ cost: 9, threads })
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const data = Buffer.from('signed')
    const signature = sign(null, data, privateKey)
    const key = await subtle.importKey('jwk', publicKey.export({ format: 'jwk' }), 'Ed25519', false, [
      'verify',
    ])
    let ended = 0
    const flood = Array.from({ length: 40 }, async () => {
      await passwords.verify('wrong', undefined, inTime(60_000))
      ended += 1
    })
    // As many as may are at it by then.
    await Promise.race(flood)
    const others = [
      stat(import.meta.filename),
      lookup('localhost'),
      subtle.verify('Ed25519', key, signature, data),
    ]
    await Promise.all(others)
    expect(ended).toBeLessThan(20)
    await Promise.all(flood)
  })

  it.each([
    [1, 1],
    [2, 1],
    [3, Math.max(1, Math.min(availableParallelism(), 3) - 1)],
    [1_024, Math.max(1, availableParallelism() - 1)],
  ])('of a pool of %i threads and of the cores leaves one to others', async (pool, most) => {
    let running = 0
    let highest = 0
    const counted = async () => {
      running += 1
      highest = Math.max(highest, running)
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      return `$2b$04$${'.'.repeat(53)}`
    }
    vi.spyOn(bcrypt, 'hash').mockImplementation(counted)
    const passwords = createPasswords({ cost: 4, threads: pool })
    await Promise.all(Array.from({ length: 40 }, () => passwords.hash('any', inTime(10_000))))
    expect(highest).toBe(most)
  })
})

describe('every comparison', () => {
  const cost = 8
  const passwords = createPasswords({ cost, threads })
  /** How often the function of the cipher is applied: twice as often with each step of the cost. */
  const workOf = async (hash: string | undefined, password = 'wrong') => {
    const compare = vi.spyOn(bcrypt, 'compare')
    const right = await passwords.verify(password, hash, inTime(10_000))
    const work = compare.mock.calls.reduce((sum, [, compared]) => sum + 2 ** bcrypt.getRounds(compared), 0)
    compare.mockRestore()
    return { right, work }
  }

  it('is the same work for an unknown account, a wrong password and a right one', async () => {
    const hash = await bcrypt.hash('right', cost)
    const work = 2 ** cost
    expect(await workOf(undefined)).toEqual({ right: false, work })
    expect(await workOf(hash)).toEqual({ right: false, work })
    expect(await workOf(hash, 'right')).toEqual({ right: true, work })
  })

  it.each([4, 6, 7])('with a hash of cost %i, from before it grew, too', async (earlier) => {
    const hash = await bcrypt.hash('right', earlier)
    expect(passwords.isOutdated(hash)).toBe(true)
    expect(await workOf(hash)).toEqual({ right: false, work: 2 ** cost })
    expect(await workOf(hash, 'right')).toEqual({ right: true, work: 2 ** cost })
  })

  it('takes a hash of a higher cost as it is', async () => {
    const hash = await bcrypt.hash('right', cost + 1)
    expect(passwords.isOutdated(hash)).toBe(false)
    expect((await workOf(hash, 'right')).right).toBe(true)
  })

  it('reads every one of 72 bytes, and refuses what has more', async () => {
    const longest = 'é'.repeat(36)
    const hash = await passwords.hash(longest, inTime(10_000))
    expect(await passwords.verify(longest, hash, inTime(10_000))).toBe(true)
    expect(await passwords.verify(`${'é'.repeat(35)}è`, hash, inTime(10_000))).toBe(false)
    expect(await passwords.verify(`${longest}x`, hash, inTime(10_000))).toBe(false)
  })
})

it('an unknown account has no password', async () => {
  const passwords = createPasswords({ cost: 4, threads })
  for (const password of ['', '.', 'anything']) {
    expect(await passwords.verify(password, undefined, inTime(5_000))).toBe(false)
  }
})
