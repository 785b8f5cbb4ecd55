import { z } from '@hono/zod-openapi'
import { describe, expect, it } from 'vitest'
import type { Call } from '#kernel/call.ts'
import { DomainError } from '#kernel/errors.ts'
import { definePort } from '#kernel/ports/port.ts'
import { checkedPort } from './checked-port.ts'

interface Parcel {
  id: string
  weight?: number
  lines: { name: string; at: string }[]
}

interface ParcelPort {
  send(request: Parcel, call: Call): Promise<Parcel>
}

const parcel = z.object({
  id: z.string(),
  weight: z.number().optional(),
  lines: z.array(z.object({ name: z.string(), at: z.string() })),
})
const parcelPort = definePort<ParcelPort>('parcel', { send: { request: parcel, result: parcel } })

const call = { deadline: 1, requestId: 'request-1' }
const good = (): Parcel => ({
  id: 'a',
  weight: 1.5,
  lines: [{ name: 'Cup', at: '2026-11-23T10:15:00.000Z' }],
})

/** Returns a parcel with changes of any type. */
const foreign = (changes: Record<string, unknown>) => ({ ...good(), ...changes }) as Parcel

class Line {
  name = 'Cup'
  at = 'now'
}

const notCarried: [string, unknown][] = [
  ['a Date in place of a string', foreign({ lines: [{ name: 'Cup', at: new Date(0) }] })],
  ['a member that is undefined', foreign({ weight: undefined })],
  ['a member that the contract does not have', foreign({ price: 1 })],
  [
    'a nested member that the contract does not have',
    foreign({ lines: [{ name: 'Cup', at: '', price: 1 }] }),
  ],
  ['a function', foreign({ toString: () => 'a' })],
  ['a symbol', foreign({ [Symbol('inside')]: 1 })],
  ['an object of a class', foreign({ lines: [new Line()] })],
  ['a Map', foreign({ lines: new Map() })],
  ['a hole in a list', foreign({ lines: new Array(1) })],
  ['NaN', foreign({ weight: Number.NaN })],
  ['infinity', foreign({ weight: Number.POSITIVE_INFINITY })],
  ['minus zero', foreign({ weight: -0 })],
  ['a bigint', foreign({ weight: 1n })],
  ['a member that is missing', { id: 'a' }],
  ['undefined', undefined],
  ['null', null],
]

describe('a checked port', () => {
  it('a checked port passes on valid requests, results and the call', async () => {
    const seen: unknown[] = []
    const port = checkedPort(parcelPort, {
      async send(request, call) {
        seen.push(request, call)
        return request
      },
    })
    expect(await port.send(good(), call)).toEqual(good())
    expect(seen).toEqual([good(), call])
  })

  it.each(notCarried)(
    'a checked port refuses %s in a request before the implementation is called',
    async (_what, request) => {
      let reached = false
      const port = checkedPort(parcelPort, {
        async send() {
          reached = true
          return good()
        },
      })
      await expect(port.send(request as Parcel, call)).rejects.toThrow()
      expect(reached).toBe(false)
    },
  )

  it.each(notCarried)('a checked port refuses %s in a result', async (_what, result) => {
    const port = checkedPort(parcelPort, { send: async () => result as Parcel })
    await expect(port.send(good(), call)).rejects.toThrow()
  })

  it('a checked port freezes requests and results deeply', async () => {
    const attempts: boolean[] = []
    const port = checkedPort(parcelPort, {
      async send(request, call) {
        for (const part of [request, request.lines, request.lines[0], call])
          attempts.push(Object.isFrozen(part))
        return good()
      },
    })
    const result = await port.send(good(), call)
    for (const part of [result, result.lines, result.lines[0]]) attempts.push(Object.isFrozen(part))
    expect(attempts).toEqual(Array(7).fill(true))
    expect(() => result.lines.push({ name: 'Plate', at: '' })).toThrow(TypeError)
  })

  it('a checked port copies requests and results, so that later changes have no effect', async () => {
    const stored = good()
    const kept: Parcel[] = []
    const port = checkedPort(parcelPort, {
      async send(request) {
        kept.push(request)
        return stored
      },
    })
    const sent = good()
    const result = await port.send(sent, call)
    sent.lines.length = 0
    stored.lines.length = 0
    expect(kept).toEqual([good()])
    expect(result).toEqual(good())
    // The original objects are not frozen.
    expect(Object.isFrozen(sent) || Object.isFrozen(stored)).toBe(false)
  })

  it('a checked port passes on errors of the implementation', async () => {
    const fault = new DomainError('overloaded', 'full')
    const port = checkedPort(parcelPort, { send: () => Promise.reject(fault) })
    await expect(port.send(good(), call)).rejects.toBe(fault)
  })

  it('a checked port has only the operations of the contract', () => {
    const implementation = { send: async () => good(), secret: async () => 'inside' }
    expect(Object.keys(checkedPort(parcelPort, implementation))).toEqual(['send'])
  })
})
