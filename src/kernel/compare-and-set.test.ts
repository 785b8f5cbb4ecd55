import { describe, expect, it, vi } from 'vitest'
import { retryCompareAndSet } from './compare-and-set.ts'

describe('retryCompareAndSet', () => {
  it('retryCompareAndSet repeats an attempt that was lost, and returns the first result', async () => {
    const attempt = vi.fn(async () => (attempt.mock.calls.length < 3 ? undefined : 'written'))
    expect(await retryCompareAndSet({ subject: 'order', maxAttempts: 3 }, attempt)).toBe('written')
    expect(attempt).toHaveBeenCalledTimes(3)
  })

  it('retryCompareAndSet counts any result but undefined as a success', async () => {
    const attempt = vi.fn(async () => false)
    expect(await retryCompareAndSet({ subject: 'order', maxAttempts: 3 }, attempt)).toBe(false)
    expect(attempt).toHaveBeenCalledTimes(1)
  })

  it('retryCompareAndSet fails as dependency_unavailable after the last attempt was lost', async () => {
    const attempt = vi.fn(async () => undefined)
    await expect(retryCompareAndSet({ subject: 'order', maxAttempts: 3 }, attempt)).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'the order changes too often just now; try again',
    })
    expect(attempt).toHaveBeenCalledTimes(3)
  })

  it('retryCompareAndSet does not repeat an attempt that throws', async () => {
    const attempt = vi.fn(() => Promise.reject(new Error('broken')))
    await expect(retryCompareAndSet({ subject: 'order', maxAttempts: 3 }, attempt)).rejects.toThrow('broken')
    expect(attempt).toHaveBeenCalledTimes(1)
  })
})
