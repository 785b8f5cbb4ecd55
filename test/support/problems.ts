import { joinProblems } from '#src/http/join-problems.ts'
import { registry } from '#src/registry.ts'

/** The problems of the kernel and of all modules. */
export const problems = joinProblems(registry)
