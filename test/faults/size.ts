import { integer } from '#kernel/config/values.ts'

/** How much is tried: FAULTS is the number of kills of each kind; without it, a sample that fits into every test run. */
export const faults: number | undefined =
  process.env.FAULTS === undefined ? undefined : integer(1, 100_000).parse(process.env.FAULTS)
