import { errorsOf } from '#kernel/http/problem-responses.ts'
import type { ProblemTable } from '#kernel/http/problems.ts'

declare module '#kernel/errors.ts' {
  interface ErrorCodes extends Record<keyof typeof authProblems, true> {}
}

/** The problems that only this module has. */
export const authProblems = {
  invalid_credentials: {
    status: 401,
    title: 'Unknown account or wrong password',
    advice: 'Ask the user for the password again.',
  },
  email_taken: {
    status: 409,
    title: 'The e-mail address is taken',
    advice: 'Sign in, or use another e-mail address.',
  },
  username_taken: {
    status: 409,
    title: 'The username is taken',
    advice: 'Choose another username.',
  },
  wrong_password: {
    status: 422,
    title: 'The current password is wrong',
    advice: 'Ask the user for the current password again.',
  },
} satisfies ProblemTable

/** The error answers of a route of this module, by their codes. */
export const errors = errorsOf(authProblems)
