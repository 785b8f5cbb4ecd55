import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

let common: ReadonlySet<string> | undefined
/**
 * The passwords that appear most often in breaches, in lower case: some 18,000 that are long enough to be chosen. They
 * are 13 MB, which a process does without until the first password is chosen; loading them takes some 20 ms, at once.
 */
function commonPasswords(): ReadonlySet<string> {
  if (common) return common
  const { dictionary }: typeof import('@zxcvbn-ts/language-common') = require('@zxcvbn-ts/language-common')
  common = new Set(dictionary['passwords-common'].filter((password) => password.length >= 8))
  return common
}

/** What whoever attacks this program tries first (6.2.11). SECURITY.md lists them. */
export const contextWords = ['trivet']

/**
 * Why an account should not have this password, which has the right form: undefined if nothing speaks against it.
 * What is in it counts in any case (OWASP ASVS 5, 6.2.4 and 6.2.11).
 */
export function weaknessOf(
  password: string,
  account: { username: string; email: string },
): string | undefined {
  const lowerCase = password.toLowerCase()
  if (commonPasswords().has(lowerCase)) return 'must not be one of the most common passwords'
  const contains = (name: string) => lowerCase.includes(name.toLowerCase())
  const word = contextWords.find(contains)
  if (word) return `must not contain "${word}"`
  if (contains(account.username)) return 'must not contain the username'
  const [mailbox = ''] = account.email.split('@')
  // Shorter ones are part of too many words.
  if (contains(account.email) || (mailbox.length >= 4 && contains(mailbox)))
    return 'must not contain the e-mail address, or what stands before its @'
  return undefined
}
