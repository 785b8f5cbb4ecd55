import { demoCustomer } from './demo-accounts.ts'

/**
 * The examples of the auth module. The sign-in and the change of the password are those of the demo's customer, so that they
 * succeed in a demo. The change sets the same password again, so that the example of the sign-in stays right.
 */

const ada = { username: 'ada', email: 'ada@example.com' }

export const authExamples = {
  account: { ...ada, password: 'correct horse battery' },
  user: {
    userId: '66f2a1b0c3d4e5f607182900',
    ...ada,
    role: 'customer' as const,
    createdAt: '2026-11-23T10:15:00.000Z',
  },
  signInWithEmail: { email: demoCustomer.email, password: demoCustomer.password },
  signInWithUsername: { username: demoCustomer.username, password: demoCustomer.password },
  tokens: {
    accessToken: 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiI2NmYyYTFiMCJ9.c2lnbmF0dXJl',
    tokenType: 'Bearer' as const,
    expiresIn: 900,
    refreshToken: 'nQe0b3u0zq8Yw1rT5kXc9vLp',
  },
  refreshToken: { refreshToken: 'nQe0b3u0zq8Yw1rT5kXc9vLp' },
  passwordChange: { currentPassword: demoCustomer.password, newPassword: demoCustomer.password },
  keySet: {
    keys: [
      {
        kty: 'OKP' as const,
        crv: 'Ed25519' as const,
        alg: 'EdDSA' as const,
        use: 'sig' as const,
        kid: '2026-11',
        x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
      },
    ],
  },
}
