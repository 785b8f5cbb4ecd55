import { integer } from '#kernel/config/values.ts'

/** FAULTS: the number of faults of each kind. Undefined: each test injects a small sample, so that `npm test` stays short. */
export const faultCount: number | undefined =
  process.env.FAULTS === undefined ? undefined : integer(1, 100_000).parse(process.env.FAULTS)
