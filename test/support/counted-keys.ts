import { dependencyUnavailable } from '#kernel/errors.ts'
import type { KeySource } from '#kernel/http/key-cache.ts'
import type { PublicKey } from '#kernel/public-key.ts'
import type { Gate } from './gate.ts'

/** A source of keys that counts its fetches, holds each at the gate if there is one, and fails while `fails` is true. */
export function countedKeys(keys: PublicKey[]) {
  const state = { fetches: 0, fails: false, gate: undefined as Gate | undefined, keys }
  const fetchKeys: KeySource = async () => {
    state.fetches += 1
    const { gate, fails, keys } = state
    await gate?.pass()
    if (fails) throw dependencyUnavailable('auth is not available')
    return keys
  }
  return { state, fetchKeys }
}
