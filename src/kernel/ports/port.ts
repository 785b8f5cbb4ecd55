import type { z } from '@hono/zod-openapi'
import type { Call } from '#kernel/call.ts'
import type { DomainError } from '#kernel/errors.ts'
import { inSpan } from '#kernel/tracing.ts'

/** An operation of a port. It takes and returns plain JSON-safe data, and is safe to deliver twice. */
export type Operation = (request: never, call: Call) => Promise<unknown>

type RequestOf<Method> = Method extends (request: infer Request, call: Call) => Promise<unknown>
  ? Request
  : never
type ResultOf<Method> = Method extends (request: never, call: Call) => Promise<infer Result> ? Result : never

/** A module as another module uses it, in the same process or over HTTP. */
export interface Offer<PortType> {
  port: PortType
  /**
   * The error with which the module would probably refuse a call at this moment, because it cannot be reached or too many calls
   * wait. A caller that stores something before its call asks first, so that it stores nothing for a request that is refused.
   */
  refusal(): DomainError | undefined
}

/** The description of a port: the name of the module that offers it, and the wire format of each operation. */
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

/** Adds a span to each call of a port in the same process. */
export function tracedPort<Type extends object>(port: Port<Type>, implementation: Type): Type {
  const traced: Record<string, (request: unknown, call: Call) => Promise<unknown>> = {}
  for (const name of Object.keys(port.operations)) {
    const operation = implementation[name as keyof Type] as (request: unknown, call: Call) => Promise<unknown>
    traced[name] = (request, call) =>
      inSpan(call, `${port.name}.${name}`, {}, (within) => operation(request, within))
  }
  return traced as Type
}
