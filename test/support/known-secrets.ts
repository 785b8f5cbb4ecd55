import { createHash } from 'node:crypto'
import { inspect } from 'node:util'

/** Secrets that were used, to be looked for in whatever has been printed or answered since. */
export type KnownSecrets = ReturnType<typeof knownSecrets>

export function knownSecrets() {
  const forms = new Map<string, string>()
  const counts = new Map<string, Set<string>>()
  const add = (kind: string, secret: string, parts: Buffer[]) => {
    counts.set(kind, (counts.get(kind) ?? new Set()).add(secret))
    for (const form of [...written(secret), ...parts.flatMap(encoded)]) forms.set(form, kind)
  }

  return {
    /** What is read as text, such as a password. */
    text: (kind: string, secret: string) => add(kind, secret, [Buffer.from(secret)]),

    /** What stands for bytes, in base64url. */
    bytes: (kind: string, secret: string) =>
      add(kind, secret, [Buffer.from(secret), Buffer.from(secret, 'base64url')]),

    /** Each half counts. */
    refreshToken(token: string) {
      const bytes = Buffer.from(token, 'base64url')
      add('refresh token', token, [Buffer.from(token), bytes.subarray(0, 16), bytes.subarray(16)])
    },

    /** What is stored of a refresh token: hashes of its halves. */
    stored(token: string) {
      const bytes = Buffer.from(token, 'base64url')
      for (const half of [bytes.subarray(0, 16), bytes.subarray(16)]) {
        const hash = createHash('sha256').update(half).digest()
        add('hash of a refresh token', hash.toString('base64url'), [hash])
      }
    },

    /** A JWT, of which the signature is what nobody else could make. */
    jwt(kind: string, token: string) {
      const signature = token.split('.')[2] ?? ''
      add(kind, signature, [Buffer.from(signature, 'base64url')])
    },

    /** How many there are of each kind. */
    counts: (): Record<string, number> =>
      Object.fromEntries([...counts].map(([kind, secrets]) => [kind, secrets.size])),

    /** The kinds of those that are in the text, however they are written down there. */
    exposedIn(text: string): string[] {
      const found = [...forms].flatMap(([form, kind]) => (text.includes(form) ? [kind] : []))
      return [...new Set(found)].toSorted()
    },
  }
}

/** Also within a string of a string of JSON. */
const written = (secret: string): string[] => {
  const inJson = (text: string) => JSON.stringify(text).slice(1, -1)
  return [secret, inJson(secret), inJson(inJson(secret)), encodeURIComponent(secret)]
}

function encoded(bytes: Buffer): string[] {
  const hex = bytes.toString('hex')
  // As a part of something longer, which shifts base64 by up to two bytes.
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6)),
  )
  const base64url = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'))
  const inspected = inspect(bytes.subarray(0, 16)).slice('<Buffer '.length, -1)
  return [hex, hex.toUpperCase(), inspected, ...base64, ...base64url]
}
