import { createRequire } from 'node:module'
import { type MatchExtended, ZxcvbnFactory } from '@zxcvbn-ts/core'
import { adjacencyGraphs, dictionary as common } from '@zxcvbn-ts/language-common'

/** The most frequent passwords in data breaches, in lower case, the most frequent one first. */
export const commonPasswords: readonly string[] = common['passwords-common']

export interface Estimate {
  /** The number of guesses that an attacker needs at most. */
  guesses: number
  /** The patterns of which the password consists. */
  patterns: readonly string[]
}

/**
 * Estimates the strength of a password by zxcvbn (Wheeler, USENIX Security 2016). zxcvbn looks at one spelling of a password, but
 * an attacker tries several. So the estimate is the lowest of several spellings (`spellingsOf`).
 *
 * Only the first 40 characters count, and at most 4 readings of replaced letters (`p4ssw0rd`) are tried. Both bound the time, which
 * grows with the square of the length.
 * @param names words that belong to the account, in lower case
 */
export function estimate(password: string, names: readonly string[]): Estimate {
  const estimates = spellingsOf(password).map(({ text, factor }): Estimate => {
    if (text === '') return { guesses: factor, patterns: [] }
    const { guesses, sequence } = zxcvbn.check(text, [...names])
    // zxcvbn assumes that attackers first try all passwords of fewer parts, and adds their number. Real attackers first try common
    // words with additions.
    const ofFewerParts = sequence.length > 1 ? 10_000 ** (sequence.length - 1) : 0
    return {
      guesses: (guesses - ofFewerParts) * factor,
      patterns: [...new Set(sequence.flatMap((match) => patternOf(match) ?? []))],
    }
  })
  return estimates.reduce((lowest, next) => (next.guesses < lowest.guesses ? next : lowest))
}

interface Spelling {
  text: string
  /** The password needs this many times as many guesses as the spelling. */
  factor: number
}

function spellingsOf(password: string): Spelling[] {
  const plain = plainForm(password)
  const ofCase = plain === password ? 1 : caseFactor(password)
  const spellings = [{ text: plain, factor: ofCase }]

  const latin = onLatinKeys(password)
  if (latin !== undefined) spellings.push({ text: latin, factor: ofCase })

  const marks = plain.match(decoration)
  if (marks) {
    // Each mark multiplies the guesses by 10, as each unknown character does in zxcvbn. White space, and a mark that occurs three
    // times, is a separator: an attacker guesses all its occurrences together.
    const factors = [...Map.groupBy(marks, (mark) => mark)].map(([mark, { length }]) =>
      length >= 3 || /\s/.test(mark) ? 10 * length : 10 ** length,
    )
    const factor = factors.reduce((product, next) => product * next, ofCase)
    spellings.push({ text: plain.replace(decoration, ''), factor })
  }
  return spellings
}

/** Characters that are neither letters, digits nor combining marks. */
const decoration = /[^\p{L}\p{N}\p{M}]/gu

/** The text in lower case and normal width, without accents and invisible characters: `Contraseña` becomes `contrasena`. */
const plainForm = (text: string): string =>
  text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]|\p{Default_Ignorable_Code_Point}/gu, '')
    .normalize('NFC')
    .toLowerCase()

/** Attackers first try words with a capital at the start, and words in capitals. Other mixtures cost more guesses. */
const caseFactor = (password: string): number =>
  /\p{L}\p{Lu}/u.test(password) && /\p{Ll}/u.test(password) ? 10 : 2

const cyrillicKeys = 'йцукенгшщзхъфывапролджэячсмитьбюё'
const latinKeys = "qwertyuiop[]asdfghjkl;'zxcvbnm,.`"

/** The Latin letters on the keys of a Cyrillic password. The lists of common passwords contain such spellings. */
function onLatinKeys(password: string): string | undefined {
  const lowerCase = password.normalize('NFKC').toLowerCase()
  if (!/[а-яё]/.test(lowerCase)) return undefined
  return lowerCase.replace(/[а-яё]/g, (letter) => latinKeys.charAt(cyrillicKeys.indexOf(letter)))
}

/** The name of a pattern in messages. Undefined for a part that matches no known pattern. */
function patternOf({ pattern, dictionaryName }: MatchExtended): string | undefined {
  switch (pattern) {
    case 'dictionary':
      return dictionaryName === 'userInputs' ? 'a name of the account' : 'a common word or name'
    case 'spatial':
      return 'neighbouring keys'
    case 'repeat':
      return 'a repeated block'
    case 'sequence':
    case 'wordSequence':
      return 'a sequence'
    case 'date':
    case 'regex':
      return 'a date'
    default:
      return undefined
  }
}

const calendarLanguages = ['en', 'de', 'es', 'fr', 'it', 'nl', 'pl', 'pt', 'sv']
const seasons =
  'spring summer autumn fall winter frühling sommer herbst printemps été automne hiver primavera verano otoño invierno ' +
  'estate autunno inverno verão outono lente zomer herfst wiosna lato jesień zima vår sommar höst vinter'
const numbers =
  'one two three four five six seven eight nine ten eleven twelve un deux trois quatre eins zwei drei vier uno dos tres ' +
  'cuatro quattro um dois een twee drie raz dwa trzy raz раз два три'
// "Password", "secret", "hello" and "I love you" in languages that the lists of the package do not cover.
const favourites =
  'wachtwoord lösenord adgangskode passord salasana heslo hasło jelszó parola şifre matkhau katasandi senha пароль секрет ' +
  'привет любовь люблю κωδικος αγαπη كلمة السر كلمةالسر حبيبي รหัสผ่าน สวัสดี 密码 我爱你 パスワード 비밀번호 사랑해 ' +
  'woaini nihao aishiteru konnichiwa saranghae dkssud tkfkdgo voorjaar najaar namaste merhaba'

/** Months, days of the week, seasons and numbers. Users who must change their passwords regularly choose such words. */
function calendarWords(): string[] {
  const names = calendarLanguages.flatMap((language) =>
    (['long', 'short'] as const).flatMap((width) => {
      const month = new Intl.DateTimeFormat(language, { month: width, timeZone: 'UTC' })
      const weekday = new Intl.DateTimeFormat(language, { weekday: width, timeZone: 'UTC' })
      return [
        ...Array.from({ length: 12 }, (_, at) => month.format(Date.UTC(2024, at))),
        ...Array.from({ length: 7 }, (_, at) => weekday.format(Date.UTC(2024, 0, 1 + at))),
      ]
    }),
  )
  const words = [...names, ...`${seasons} ${numbers} ${favourites}`.split(' ')].map(plainForm)
  return [...new Set(words)].filter((word) => word.length >= 3)
}

// Only two lists of the package are loaded: all lists would take twice the memory and three times the time.
const require = createRequire(import.meta.url)
const english = (list: 'commonWords' | 'firstnames'): string[] =>
  require(`@zxcvbn-ts/language-en/dist/${list}.json.cjs`)

const zxcvbn = new ZxcvbnFactory({
  dictionary: {
    ...common,
    words: english('commonWords'),
    names: english('firstnames'),
    // The prefix `months-` makes zxcvbn look for sequences of these words.
    'months-and-seasons': calendarWords(),
  },
  graphs: adjacencyGraphs,
  l33tMaxSubstitutions: 4,
  maxLength: 40,
})
