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
  if (commonPasswords.includes(password.toLowerCase())) return 'must not be one of the most common passwords'
  const written = lettersAndDigits(password)
  const contains = (name: string) => {
    const wanted = lettersAndDigits(name)
    return wanted.length >= shortestName && written.includes(wanted)
  }
  const word = contextWords.find(contains)
  if (word) return `must not contain "${word}"`
  if (contains(account.username)) return 'must not contain the username'
  const [mailbox = ''] = account.email.split('@')
  if (contains(account.email) || contains(mailbox))
    return 'must not contain the e-mail address, or what stands before its @'

  const { guesses, patterns } = estimate(password, wordsOf(account))
  if (guesses >= guessesNeeded) return undefined
  const made = patterns.length > 0 ? `is made of ${patterns.join(' and ')}` : 'has too few characters'
  return `must not be easily guessed: it ${made}; three unrelated words or 10 random characters are better`
}

// A shorter name is part of too many words. The estimate takes it into account.
const shortestName = 4

/** In lower case, without accents and separators: `Marie.Curie` and `mariecurie` are one name. */
const lettersAndDigits = (text: string): string =>
  text
    .normalize('NFKD')
    .replace(/[^\p{L}\p{N}]/gu, '')
    .toLowerCase()

const wordsOf = ({ username, email }: Names): string[] =>
  [username, ...email.split('@'), ...`${username} ${email}`.split(/[^A-Za-z0-9]+/), ...contextWords]
    .filter((word) => word.length >= 3)
    .map((word) => word.toLowerCase())
