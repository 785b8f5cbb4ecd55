/** Amounts are integers in minor units (cents), so that sums are exact up to 2^53. Only JSON has decimal amounts. */

/** Converts an amount with at most two decimal places, which the schema has checked: `19.99` → 1999. */
export const toMinorUnits = (amount: number): number => Math.round(amount * 100) + 0 // JSON has no -0

/** Converts minor units: 1999 → `19.99`. The quotient is the double that is nearest to the decimal, so JSON prints the decimal. */
export const toDecimal = (minorUnits: number): number => minorUnits / 100
