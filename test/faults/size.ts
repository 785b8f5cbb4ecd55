import { integer } from '#kernel/config/values.ts'

/** FAULTS: the number of kills of each kind. Without it, the tests try a small sample that suits each test run. */
export const faults: number | undefined =
  process.env.FAULTS === undefined ? undefined : integer(1, 100_000).parse(process.env.FAULTS)
