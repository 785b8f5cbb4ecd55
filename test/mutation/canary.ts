/** The code whose mutants the canary test must kill. If one of them survives, Stryker did not run the tests against its mutants. */
export const isNegative = (value: number): boolean => value < 0
