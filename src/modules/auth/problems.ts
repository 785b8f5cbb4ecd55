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
    meaning: 'There is no account with this name and password.',
    advice: 'Ask the user for the password again.',
  },
  email_taken: {
    status: 409,
    title: 'The e-mail address is taken',
    meaning: 'An account has this e-mail address. Case does not matter.',
    advice: 'Sign in, or use another e-mail address.',
  },
  username_taken: {
    status: 409,
    title: 'The username is taken',
    meaning: 'An account has this username. Case does not matter.',
    advice: 'Choose another username.',
  },
  wrong_password: {
    status: 422,
    title: 'The current password is wrong',
    meaning:
      '`currentPassword` is not the password of the account. The access token is valid, so that refreshing it does not help.',
    advice: 'Ask the user for the current password again.',
  },
} satisfies ProblemTable

/** The error answers of a route of this module, by their codes. */
export const errors = errorsOf(authProblems)
