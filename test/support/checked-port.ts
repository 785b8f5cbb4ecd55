import { isDeepStrictEqual } from 'node:util'
import type { z } from '@hono/zod-openapi'
import type { Call } from '#kernel/call.ts'
import type { Operation, Port } from '#kernel/ports/port.ts'

/**
 * Wraps a port for calls in process so that it refuses what HTTP could not carry. Requests and results are validated,
 * copied, and frozen, so that the two sides share no object.
 */
export function checkedPort<Type extends object>(port: Port<Type>, implementation: Type): Type {
  const checked: Record<string, Operation> = {}
  for (const name of Object.keys(port.operations)) {
    const { request, result } = port.operations[name as keyof Type]
    const operation = implementation[name as keyof Type] as (request: unknown, call: Call) => Promise<unknown>
    checked[name] = async (input: unknown, call: Call) =>
      asCarried(result, await operation(asCarried(request, input), Object.freeze({ ...call })))
  }
  return checked as unknown as Type
}

function asCarried(schema: z.ZodType, value: unknown): unknown {
  const carried = schema.parse(JSON.parse(JSON.stringify(value)))
  if (!isDeepStrictEqual(carried, value)) {
    throw new TypeError(`not what the port's contract carries: ${JSON.stringify(value)}`)
  }
  return deepFrozen(carried)
}

function deepFrozen(value: unknown): unknown {
  if (value !== null && typeof value === 'object') {
    for (const member of Object.values(value)) deepFrozen(member)
    Object.freeze(value)
  }
  return value
}
