import { commonPasswords, estimate } from './password-strength.ts'

/** Words of this program, which its attackers try first (OWASP ASVS 5, 6.2.11). SECURITY.md lists them. */
export const contextWords = ['trivet']

/** The names of an account. A password that contains one of them is easier to guess. */
export interface Names {
  username: string
  email: string
}

/** zxcvbn's score 3 of 4, "safely unguessable": strong enough against an attacker who has the hash. */
const minGuesses = 1e8

/**
 * Says why a well-formed password is too weak for an account. Upper and lower case are not distinguished (OWASP ASVS 5, 6.2.4 and
 * 6.2.11).
 * @returns undefined if the password is strong enough
 */
export function weaknessOf(password: string, account: Names): string | undefined {
  if (commonPasswords.includes(password.toLowerCase())) return 'must not be one of the most common passwords'
  const written = lettersAndDigits(password)
  const contains = (name: string) => {
    const wanted = lettersAndDigits(name)
    return wanted.length >= minNameLength && written.includes(wanted)
  }
  const word = contextWords.find(contains)
  if (word) return `must not contain "${word}"`
  if (contains(account.username)) return 'must not contain the username'
  const [mailbox = ''] = account.email.split('@')
  if (contains(account.email) || contains(mailbox))
    return 'must not contain the e-mail address, or its part before the @'

  const { guesses, patterns } = estimate(password, wordsOf(account))
  if (guesses >= minGuesses) return undefined
  const reason = patterns.length > 0 ? `is made of ${patterns.join(' and ')}` : 'has too few characters'
  return `must not be easily guessed: it ${reason}; three unrelated words or 10 random characters are better`
}

/** Shorter names are part of too many words. The estimate still takes them into account. */
const minNameLength = 4

/** The text in lower case, without accents and separators: `Marie.Curie` becomes `mariecurie`. */
const lettersAndDigits = (text: string): string =>
  text
    .normalize('NFKD')
    .replace(/[^\p{L}\p{N}]/gu, '')
    .toLowerCase()

const wordsOf = ({ username, email }: Names): string[] =>
  [username, ...email.split('@'), ...`${username} ${email}`.split(/[^A-Za-z0-9]+/), ...contextWords]
    .filter((word) => word.length >= 3)
    .map((word) => word.toLowerCase())
