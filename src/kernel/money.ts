/** Amounts are integer minor units (cents) inside and decimals only in JSON: sums stay exact up to 2^53. */

/** `amount` has at most two decimal places (the schema has checked): `19.99` → 1999. */
export const toMinorUnits = (amount: number): number => Math.round(amount * 100) + 0 // -0 would not survive JSON

/** 1999 → `19.99`: division rounds to the double nearest to the decimal, so JSON prints it as written. */
export const toDecimal = (minorUnits: number): number => minorUnits / 100
