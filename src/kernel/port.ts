import { isDeepStrictEqual } from 'node:util'
import type { z } from '@hono/zod-openapi'
import type { Call } from './call.ts'

/** An operation of a port: one plain, JSON-safe request in, one out; safe to deliver twice. */
export type Operation = (request: never, call: Call) => Promise<unknown>

type RequestOf<Method> = Method extends (request: infer Request, call: Call) => Promise<unknown>
  ? Request
  : never
type ResultOf<Method> = Method extends (request: never, call: Call) => Promise<infer Result> ? Result : never

/** A port's key: the name of the module that offers it, and the wire format of each operation. */
export interface Port<Type> {
  readonly name: string
  readonly operations: {
    readonly [Name in keyof Type]: {
      readonly request: z.ZodType<RequestOf<Type[Name]>>
      readonly result: z.ZodType<ResultOf<Type[Name]>>
    }
  }
}

export const definePort = <Type>(name: string, operations: Port<Type>['operations']): Port<Type> => ({
  name,
  operations,
})

/**
 * The same port, refusing in process what HTTP would not carry: requests and results are validated, and frozen so
 * that neither side can lean on sharing an object with the other. Tests compose with it.
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
