import { randomUUID } from 'node:crypto'
import { afterEach, expect, it, vi } from 'vitest'
import { createCall, waitUntilDeadline } from '#kernel/call.ts'
import type { PublicKey } from '#kernel/public-key.ts'
import { generatePrivateKey, publicKeyOf } from '#src/modules/auth/sessions/signing-keys.ts'
import { countedKeys } from '#test/support/counted-keys.ts'
import { createGate } from '#test/support/gate.ts'
import { quiet } from '#test/support/quiet-log.ts'
import { createKeyCache } from './key-cache.ts'

const logger = await quiet
const known = publicKeyOf(generatePrivateKey())
const rotated = publicKeyOf(generatePrivateKey())
const call = { deadline: Date.now() + 60_000, requestId: 'request-1' }

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** A key cache over keys whose fetches are counted. */
function cached() {
  const { state, fetchKeys } = countedKeys([known])
  return { state, findKey: createKeyCache(fetchKeys, logger) }
}
const later = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000)

it('the key cache fetches the key set once for many requests, including simultaneous ones', async () => {
  const { state, findKey } = cached()
  expect(state.fetches).toBe(0)
  const found = await Promise.all(Array.from({ length: 50 }, () => findKey(known.kid, call)))
  expect(found).toEqual(Array(50).fill(known))
  await findKey(known.kid, call)
  expect(state.fetches).toBe(1)
})

it('the key cache fetches at most once in 30 s for unknown kids', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const { state, findKey } = cached()
  await findKey(known.kid, call)
  const unknown = (count: number) =>
    Promise.all(Array.from({ length: count }, () => findKey(randomUUID(), call)))
  expect(await unknown(100)).toEqual(Array(100).fill(undefined))
  for (let second = 0; second < 29; second++) {
    later(1)
    await unknown(3)
  }
  expect(state.fetches).toBe(2)
  later(1)
  await unknown(3)
  expect(state.fetches).toBe(3)
})

it('the key cache counts the first fetch if the first requests have unknown kids', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const { state, findKey } = cached()
  const unknown = () => findKey(randomUUID(), call)
  expect(await Promise.all(Array.from({ length: 100 }, unknown))).toEqual(Array(100).fill(undefined))
  later(29)
  expect(await unknown()).toBeUndefined()
  expect(state.fetches).toBe(1)
  later(1)
  expect(await unknown()).toBeUndefined()
  expect(state.fetches).toBe(2)
})

it('the key cache fetches at most once in 30 s for unknown kids while the source fails', async () => {
  const { state, findKey } = cached()
  await findKey(known.kid, call)
  state.fails = true
  // The token may be valid. 401 would sign its user out.
  for (let shown = 0; shown < 20; shown++) {
    await expect(findKey(randomUUID(), call)).rejects.toMatchObject({ code: 'dependency_unavailable' })
  }
  expect(state.fetches).toBe(2)
  expect(await findKey(known.kid, call)).toEqual(known)
})

it('the key cache fetches a key that a rotation has added at its first use', async () => {
  const { state, findKey } = cached()
  await findKey(known.kid, call)
  state.keys = [rotated, known]
  expect(await findKey(rotated.kid, call)).toEqual(rotated)
  expect(await findKey(known.kid, call)).toEqual(known)
})

it('the key cache returns a new key to all requests that use it at the same time', async () => {
  const { state, findKey } = cached()
  await findKey(known.kid, call)
  state.keys = [rotated, known]
  const both = [findKey(rotated.kid, call), findKey(rotated.kid, call)]
  expect(await Promise.all(both)).toEqual([rotated, rotated])
})

it('the key cache refreshes the key set in the background after five minutes, so that a withdrawn key ends', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const { state, findKey } = cached()
  await findKey(known.kid, call)
  state.keys = [rotated]
  later(300)
  expect(await findKey(known.kid, call)).toEqual(known)
  expect(state.fetches).toBe(1)
  later(1)
  // The request does not wait for the refresh.
  expect(await findKey(known.kid, call)).toEqual(known)
  // The next requests use the result of the refresh.
  await vi.waitFor(async () => expect(await findKey(known.kid, call)).toBeUndefined())
  expect(await findKey(rotated.kid, call)).toEqual(rotated)
})

it('the key cache tries again 30 s after a failed refresh', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const warn = vi.spyOn(logger, 'warn')
  const { state, findKey } = cached()
  await findKey(known.kid, call)
  state.fails = true
  later(301)
  await findKey(known.kid, call)
  await vi.waitFor(() => expect(warn).toHaveBeenCalled())
  state.fails = false
  later(29)
  await findKey(known.kid, call)
  expect(state.fetches).toBe(2)
  later(2)
  await findKey(known.kid, call)
  expect(state.fetches).toBe(3)
})

it('the key cache answers for an unknown kid after any fetch that has succeeded, including a background refresh', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const { state, findKey } = cached()
  await findKey(known.kid, call)
  later(295)
  state.fails = true
  await expect(findKey(randomUUID(), call)).rejects.toMatchObject({ code: 'dependency_unavailable' })
  later(6)
  const gate = createGate()
  state.gate = gate
  state.fails = false
  state.keys = [rotated, known]
  // The five minutes are over, so that a refresh begins. Only a request with an unknown kid waits for it.
  expect(await findKey(known.kid, call)).toEqual(known)
  const waiting = findKey(rotated.kid, call)
  gate.open()
  expect(await waiting).toEqual(rotated)
  expect(await findKey(randomUUID(), call)).toBeUndefined()
  expect(state.fetches).toBe(3)
})

it('the key cache ignores a key set without keys', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const { state, findKey } = cached()
  await findKey(known.kid, call)
  state.keys = []
  await expect(findKey(randomUUID(), call)).rejects.toMatchObject({ code: 'dependency_unavailable' })
  later(301)
  await findKey(known.kid, call)
  await vi.waitFor(() => expect(state.fetches).toBe(3))
  expect(await findKey(known.kid, call)).toEqual(known)
})

it('the key cache repeats the first fetch for requests that have more time than the request that started it', async () => {
  let fetches = 0
  const findKey = createKeyCache(async (_request, within) => {
    fetches += 1
    if (fetches === 1) return waitUntilDeadline(within, 'auth', new Promise<PublicKey[]>(() => {}))
    return [known]
  }, logger)
  const shortCall = findKey(known.kid, createCall(50, 'short'))
  const longCalls = [1, 2].map((n) => findKey(known.kid, createCall(10_000, `long-${n}`)))
  await expect(shortCall).rejects.toMatchObject({ code: 'dependency_unavailable' })
  expect(await Promise.all(longCalls)).toEqual([known, known])
  expect(fetches).toBe(2)
})

it('the key cache makes one attempt for all requests that wait for a first fetch that fails', async () => {
  const { promise, reject } = Promise.withResolvers<PublicKey[]>()
  let fetches = 0
  const findKey = createKeyCache(() => {
    fetches += 1
    return promise
  }, logger)
  const waiting = Array.from({ length: 1_000 }, (_, at) =>
    findKey(known.kid, createCall(5_000 + at, `waiting-${at}`)).catch(String),
  )
  reject(new Error('no answer'))
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(['Error: no answer']))
  expect(fetches).toBe(1)
})
