import { availableParallelism } from 'node:os'
import { describe, expect, it } from 'vitest'
import { createPasswords } from './passwords.ts'

const inTime = (milliseconds: number) => ({ deadline: Date.now() + milliseconds, requestId: 'passwords' })

describe('a flood of sign-ins', () => {
  it('ends each at its deadline, and leaves nothing behind that makes the next one wait', async () => {
    const passwords = createPasswords({ cost: 11, threads: 4 })
    const hash = await passwords.hash('correct horse', inTime(10_000))
    const started = performance.now()
    const flood = Array.from({ length: availableParallelism() * 40 }, (_, n) =>
      // The first in line is served however slow the machine is.
      passwords
        .verify('wrong', hash, inTime(n === 0 ? 10_000 : 600))
        .catch((error: { code?: string }) => error.code),
    )
    const outcomes = await Promise.all(flood)
    expect(performance.now() - started).toBeLessThan(2_000)
    expect(outcomes).toContain(false)
    expect(outcomes).toContain('dependency_unavailable')
    // Whoever comes now is not behind those who are gone.
    expect(await passwords.verify('correct horse', hash, inTime(3_000))).toBe(true)
  })

  it('is refused beyond a bound', async () => {
    const passwords = createPasswords({ cost: 4, threads: 4 })
    const flood = Array.from({ length: availableParallelism() * 64 + 50 }, () =>
      passwords.verify('wrong', undefined, inTime(20_000)).catch((error: { code?: string }) => error.code),
    )
    const outcomes = await Promise.all(flood)
    expect(outcomes).toContain('overloaded')
    expect(outcomes.filter((outcome) => outcome === false).length).toBeGreaterThan(
      availableParallelism() * 60,
    )
  })
})

it('an unknown account has no password', async () => {
  const passwords = createPasswords({ cost: 4, threads: 4 })
  for (const password of ['', '.', 'anything']) {
    expect(await passwords.verify(password, undefined, inTime(5_000))).toBe(false)
  }
})
