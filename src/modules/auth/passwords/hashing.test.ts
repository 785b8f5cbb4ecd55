import { generateKeyPairSync, sign, subtle } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { readdirSync, readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { availableParallelism, getPriority } from 'node:os'
import bcrypt from 'bcrypt'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createMetrics } from '#kernel/metrics.ts'
import { createPasswords } from './hashing.ts'

const metrics = createMetrics()

const callWithin = (milliseconds: number) => ({ deadline: Date.now() + milliseconds, requestId: 'passwords' })
const threads = 4
const maxConcurrent = Math.max(1, Math.min(availableParallelism(), threads) - 1)

afterEach(() => {
  vi.restoreAllMocks()
})

describe('concurrent comparisons', () => {
  it('a comparison is refused if it could not start before its deadline, and does not delay later comparisons', async () => {
    const passwords = createPasswords({ cost: 11, threads, metrics })
    const hash = await passwords.hash('correct horse', callWithin(10_000))
    const comparisons = Array.from({ length: maxConcurrent * 40 }, (_, n) =>
      // The deadline of the first comparison is long, so that it succeeds even on a slow machine.
      passwords
        .verify('wrong', hash, callWithin(n === 0 ? 10_000 : 600))
        .catch((error: { code?: string }) => error.code),
    )
    expect(() => passwords.requirePlace(callWithin(1))).toThrow('waiting for the password check')
    const outcomes = await Promise.all(comparisons)
    expect(outcomes).toContain(false)
    expect(outcomes).toContain('overloaded')
    // The comparisons that were refused do not delay this one.
    expect(await passwords.verify('correct horse', hash, callWithin(10_000))).toBe(true)
  })

  it('a comparison is refused as overloaded if too many comparisons wait', async () => {
    const passwords = createPasswords({ cost: 4, threads, metrics })
    const comparisons = Array.from({ length: maxConcurrent * 64 + 50 }, () =>
      passwords
        .verify('wrong', undefined, callWithin(20_000))
        .catch((error: { code?: string }) => error.code),
    )
    const outcomes = await Promise.all(comparisons)
    expect(outcomes).toContain('overloaded')
    expect(outcomes.filter((outcome) => outcome === false).length).toBeGreaterThanOrEqual(maxConcurrent * 64)
  })

  it('files, name resolution and signatures do not wait until all comparisons have ended', async () => {
    const passwords = createPasswords({ cost: 9, threads, metrics })
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const data = Buffer.from('signed')
    const signature = sign(null, data, privateKey)
    const key = await subtle.importKey('jwk', publicKey.export({ format: 'jwk' }), 'Ed25519', false, [
      'verify',
    ])
    let ended = 0
    const comparisons = Array.from({ length: 40 }, async () => {
      await passwords.verify('wrong', undefined, callWithin(60_000))
      ended += 1
    })
    // After the first comparison, as many as allowed are in progress.
    await Promise.race(comparisons)
    const others = [
      stat(import.meta.filename),
      lookup('localhost'),
      subtle.verify('Ed25519', key, signature, data),
    ]
    await Promise.all(others)
    expect(ended).toBeLessThan(20)
    await Promise.all(comparisons)
  })

  it.each([
    [1, 1],
    [2, 1],
    [3, Math.max(1, Math.min(availableParallelism(), 3) - 1)],
    [1_024, Math.max(1, availableParallelism() - 1)],
  ])('hashing leaves one core and one of %i threads to other work', async (threads, maxConcurrent) => {
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
    const passwords = createPasswords({ cost: 4, threads, metrics })
    await Promise.all(Array.from({ length: 40 }, () => passwords.hash('any', callWithin(10_000))))
    expect(highest).toBe(maxConcurrent)
  })
})

/** The priorities of the threads of the pool, which only Linux has. */
function poolPriorities(): number[] {
  const folder = '/proc/self/task'
  if (process.platform !== 'linux') return []
  return readdirSync(folder)
    .filter((id) => readFileSync(`${folder}/${id}/comm`, 'utf8').startsWith('libuv-worker'))
    .map((id) => getPriority(Number(id)))
}

it('passwords are hashed at a lower priority than requests, where threads have one', async () => {
  await createPasswords({ cost: 8, threads, metrics }).hash('any', callWithin(10_000))
  const priorities = new Set(poolPriorities())
  expect([...priorities]).toEqual(process.platform === 'linux' ? [Math.min(19, getPriority() + 10)] : [])
})

describe('the cost of a comparison', () => {
  const cost = 8
  const passwords = createPasswords({ cost, threads, metrics })
  /** The number of rounds of bcrypt: each step of the cost doubles it. */
  const workOf = async (hash: string | undefined, password = 'wrong') => {
    const compare = vi.spyOn(bcrypt, 'compare')
    const isRight = await passwords.verify(password, hash, callWithin(10_000))
    const work = compare.mock.calls.reduce((sum, [, compared]) => sum + 2 ** bcrypt.getRounds(compared), 0)
    compare.mockRestore()
    return { isRight, work }
  }

  it('a comparison costs the same for an unknown account, a wrong password and a correct one', async () => {
    const hash = await bcrypt.hash('right', cost)
    const work = 2 ** cost
    expect(await workOf(undefined)).toEqual({ isRight: false, work })
    expect(await workOf(hash)).toEqual({ isRight: false, work })
    expect(await workOf(hash, 'right')).toEqual({ isRight: true, work })
  })

  it.each([4, 6, 7])(
    'a comparison with an outdated hash of cost %i costs as much as with a new hash',
    async (earlier) => {
      const hash = await bcrypt.hash('right', earlier)
      expect(passwords.isOutdated(hash)).toBe(true)
      expect(await workOf(hash)).toEqual({ isRight: false, work: 2 ** cost })
      expect(await workOf(hash, 'right')).toEqual({ isRight: true, work: 2 ** cost })
    },
  )

  it('a hash of a higher cost is accepted, and is not outdated', async () => {
    const hash = await bcrypt.hash('right', cost + 1)
    expect(passwords.isOutdated(hash)).toBe(false)
    expect((await workOf(hash, 'right')).isRight).toBe(true)
  })

  it('a comparison reads all 72 bytes, and fails for a longer password', async () => {
    const longest = 'é'.repeat(36)
    const hash = await passwords.hash(longest, callWithin(10_000))
    expect(await passwords.verify(longest, hash, callWithin(10_000))).toBe(true)
    expect(await passwords.verify(`${'é'.repeat(35)}è`, hash, callWithin(10_000))).toBe(false)
    expect(await passwords.verify(`${longest}x`, hash, callWithin(10_000))).toBe(false)
  })
})

it('no password matches an unknown account', async () => {
  const passwords = createPasswords({ cost: 4, threads, metrics })
  for (const password of ['', '.', 'anything']) {
    expect(await passwords.verify(password, undefined, callWithin(5_000))).toBe(false)
  }
})
