import { commonPasswords, estimate } from './password-strength.ts'

/** Words that attackers of this program try first (OWASP ASVS 5, 6.2.11). SECURITY.md lists them. */
export const contextWords = ['trivet']

/** The names of an account. A password that contains one of them is easier to guess. */
export interface Names {
  username: string
  email: string
}

/** zxcvbn's score 3, of 4: "safely unguessable", also for an attacker who has the hash. */
const guessesNeeded = 1e8

/**
 * Why an account should not have this password, which has the right form: undefined if nothing speaks against it.
 * Words in it count in any case (OWASP ASVS 5, 6.2.4 and 6.2.11).
 */
export function weaknessOf(password: string, account: Names): string | undefined {
  const lowerCase = password.toLowerCase()
  if (commonPasswords.includes(lowerCase)) return 'must not be one of the most common passwords'
  const contains = (name: string) => lowerCase.includes(name.toLowerCase())
  const word = contextWords.find(contains)
  if (word) return `must not contain "${word}"`
  if (contains(account.username)) return 'must not contain the username'
  const [mailbox = ''] = account.email.split('@')
  // Shorter ones are part of too many words.
  if (contains(account.email) || (mailbox.length >= 4 && contains(mailbox)))
    return 'must not contain the e-mail address, or what stands before its @'

  const { guesses, patterns } = estimate(password, wordsOf(account))
  if (guesses >= guessesNeeded) return undefined
  const made = patterns.length > 0 ? `is made of ${patterns.join(' and ')}` : 'has too few characters'
  return `must not be easily guessed: it ${made}; three unrelated words or 10 random characters are better`
}

const wordsOf = ({ username, email }: Names): string[] =>
  [username, ...email.split('@'), ...`${username} ${email}`.split(/[^A-Za-z0-9]+/), ...contextWords]
    .filter((word) => word.length >= 3)
    .map((word) => word.toLowerCase())
