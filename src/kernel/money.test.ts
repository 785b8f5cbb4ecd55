import { describe, expect, it } from 'vitest'
import { toDecimal, toMinorUnits } from './money.ts'

describe('amounts of money', () => {
  it.each([
    [0, 0],
    [0.01, 1],
    [0.1, 10],
    [0.29, 29],
    [1.1, 110],
    // 1.005 * 100 is 100.49999999999999, and so are many amounts with two decimals.
    [1.15, 115],
    [4.35, 435],
    [19.99, 1999],
    [1_000_000.01, 100_000_001],
    [99_999_999.99, 9_999_999_999],
    [100_000_000, 10_000_000_000],
  ])('the amount %d becomes %d minor units and back', (amount, minorUnits) => {
    expect(toMinorUnits(amount)).toBe(minorUnits)
    expect(toDecimal(minorUnits)).toBe(amount)
  })

  it('every amount up to 1,000 and near the bound is printed as it was written', () => {
    const wrong: number[] = []
    const ranges = [
      [0, 100_000],
      [9_999_900_000, 10_000_000_000],
    ] as const
    for (const [from, to] of ranges) {
      for (let cents = from; cents <= to; cents++) {
        const digits = String(cents).padStart(3, '0')
        const written = `${digits.slice(0, -2)}.${digits.slice(-2)}`.replace(/\.?0+$/, '')
        const read = JSON.parse(written)
        if (toMinorUnits(read) !== cents || JSON.stringify(toDecimal(cents)) !== written) wrong.push(cents)
      }
    }
    expect(wrong).toEqual([])
  })

  it('amounts whose decimals do not add up exactly are added exactly', () => {
    const prices = Array(10).fill(0.1)
    expect(prices.reduce((sum, price) => sum + price, 0)).not.toBe(1)
    expect(toDecimal(prices.map(toMinorUnits).reduce((sum, cents) => sum + cents, 0))).toBe(1)
  })
})
