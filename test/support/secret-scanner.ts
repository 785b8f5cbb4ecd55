import { createHash } from 'node:crypto'
import { inspect } from 'node:util'

const startLength = 8

export type SecretScanner = ReturnType<typeof createSecretScanner>

/** Collects the secrets that a test uses, and finds them in logs, answers and databases. */
export function createSecretScanner() {
  /** The kind of each form, by the start of the form: there are thousands of forms, and a search for each of them would take long. */
  const forms = new Map<string, Map<string, string>>()
  const counts = new Map<string, Set<string>>()
  const add = (kind: string, secret: string, parts: Buffer[]) => {
    counts.set(kind, (counts.get(kind) ?? new Set()).add(secret))
    for (const form of [...written(secret), ...parts.flatMap(encoded)]) {
      if (form.length < startLength) throw new Error(`a secret is too short to be found: ${kind}`)
      const start = form.slice(0, startLength)
      forms.set(start, (forms.get(start) ?? new Map()).set(form, kind))
    }
  }

  return {
    /** Adds a secret that is text, such as a password. */
    text: (kind: string, secret: string) => add(kind, secret, [Buffer.from(secret)]),

    /** Adds a secret that is bytes in base64url. */
    bytes: (kind: string, secret: string) =>
      add(kind, secret, [Buffer.from(secret), Buffer.from(secret, 'base64url')]),

    /** Adds a refresh token. Each half of it is a secret. */
    refreshToken(token: string) {
      const bytes = Buffer.from(token, 'base64url')
      add('refresh token', token, [Buffer.from(token), bytes.subarray(0, 16), bytes.subarray(16)])
    },

    /** Adds the hashes of both halves of a refresh token. The database stores only these hashes. */
    refreshTokenHashes(token: string) {
      const bytes = Buffer.from(token, 'base64url')
      for (const half of [bytes.subarray(0, 16), bytes.subarray(16)]) {
        const hash = createHash('sha256').update(half).digest()
        add('hash of a refresh token', hash.toString('base64url'), [hash])
      }
    },

    /** Adds a JWT. Its signature is the secret part. */
    jwt(kind: string, token: string) {
      const signature = token.split('.')[2] ?? ''
      add(kind, signature, [Buffer.from(signature, 'base64url')])
    },

    /** Returns the number of secrets of each kind. */
    counts: (): Record<string, number> =>
      Object.fromEntries([...counts].map(([kind, secrets]) => [kind, secrets.size])),

    /** Returns the kinds of the secrets that the text contains, in any encoding. */
    findIn(text: string): string[] {
      const found = new Set<string>()
      for (let at = 0; at + startLength <= text.length; at++) {
        const candidates = forms.get(text.slice(at, at + startLength)) ?? []
        for (const [form, kind] of candidates) if (text.startsWith(form, at)) found.add(kind)
      }
      return [...found].toSorted()
    },
  }
}

/** Returns a text as it may be written, also within one or two levels of JSON strings. */
const written = (secret: string): string[] => {
  const inJson = (text: string) => JSON.stringify(text).slice(1, -1)
  return [secret, inJson(secret), inJson(inJson(secret)), encodeURIComponent(secret)]
}

function encoded(bytes: Buffer): string[] {
  const hex = bytes.toString('hex')
  // Within longer data, base64 may be shifted by up to two bytes.
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6)),
  )
  const base64url = base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'))
  const inspected = inspect(bytes.subarray(0, 16)).slice('<Buffer '.length, -1)
  return [hex, hex.toUpperCase(), inspected, ...base64, ...base64url]
}
