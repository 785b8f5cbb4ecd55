import fc from 'fast-check'
import type { Delivery } from './faulty-proxy.ts'

/** One request of a client. `back` chooses an earlier purchase or order: 0 is the latest one at that moment, 1 the one before. */
export type Request =
  | { kind: 'buy'; customer: number; keyed: boolean; lines: { product: number; quantity: number }[] }
  | { kind: 'retry'; back: number; times: number }
  | { kind: 'retry with another body'; back: number }
  | { kind: 'cancel'; back: number; by: 'DELETE' | 'PUT'; as: 'owner' | 'admin' }
  /** The customer of that purchase cancels its newest listed order, which may not be answered yet. */
  | { kind: 'cancel the newest'; back: number }
  | { kind: 'ship' | 'deliver'; back: number }
  | { kind: 'change stock'; product: number; change: number }
  | { kind: 'create product'; times: number }
  | { kind: 'set price'; product: number; price: number }
  | { kind: 'set stock'; product: number; stock: number }
  | { kind: 'delete product'; product: number }

/** A fault of a process. The process recovers after the number of `operations`. */
export type ProcessFault =
  | { kind: 'kill'; service: string; operations: number }
  | { kind: 'freeze'; service: string; operations: number }

/** A list of deliveries, one for each of the next requests between the services, or from clients. */
export type NetworkFault = { kind: 'network fault'; between: 'services' | 'clients'; deliveries: Delivery[] }

export type Operation =
  | Request
  | ProcessFault
  | NetworkFault
  | { kind: 'wait'; waitMs: number }
  | { kind: 'at once'; parts: { afterMs: number; operation: Request | ProcessFault | NetworkFault }[] }

export const customerCount = 3
export const productCount = 4

const customer = fc.nat({ max: customerCount - 1 })
const product = fc.nat({ max: productCount - 1 })
const back = fc.nat({ max: 6 })
const quantity = fc.integer({ min: 1, max: 4 })
const lines = fc.array(fc.record({ product, quantity }), { minLength: 1, maxLength: 3 })

const buy = fc.record({
  kind: fc.constant('buy' as const),
  customer,
  keyed: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
  lines,
})
const cancel = fc.record({
  kind: fc.constant('cancel' as const),
  back,
  by: fc.constantFrom('DELETE' as const, 'PUT' as const),
  as: fc.constantFrom('owner' as const, 'admin' as const),
})
const change = fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: -4, max: -1 }))

const request: fc.Arbitrary<Request> = fc.oneof(
  { weight: 20, arbitrary: buy },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('retry' as const),
      back,
      times: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('retry with another body' as const), back }) },
  { weight: 8, arbitrary: cancel },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('cancel the newest' as const), back: fc.nat({ max: 2 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('ship' as const, 'deliver' as const), back }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('change stock' as const), product, change }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('create product' as const),
      times: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 2,
    // Prices are whole cents, and rarely equal.
    arbitrary: fc
      .record({ product, cents: fc.integer({ min: 100, max: 999_999 }) })
      .map(({ product, cents }) => ({ kind: 'set price' as const, product, price: cents / 100 })),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('set stock' as const), product, stock: fc.nat({ max: 20 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete product' as const), product }) },
)

const service = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('order', 'product') },
  { weight: 1, arbitrary: fc.constant('auth') },
)
const kill = fc.record({ kind: fc.constant('kill' as const), service, operations: fc.nat({ max: 4 }) })
const freeze = fc.record({
  kind: fc.constant('freeze' as const),
  service,
  operations: fc.integer({ min: 1, max: 4 }),
})

const delivery: fc.Arbitrary<Delivery> = fc.oneof(
  fc.constant({ times: 0 }),
  fc.constant({ answerLost: true }),
  fc.constant({ times: 2 }),
  fc.constant({ times: 2, answerLost: true }),
  // The first delay is shorter than the timeout of a request. The second one may be longer.
  fc.integer({ min: 50, max: 500 }).map((delayMs) => ({ delayMs })),
  fc.integer({ min: 500, max: 3_000 }).map((delayMs) => ({ delayMs })),
  fc.constant({}),
)
const between = fc.constantFrom('services' as const, 'clients' as const)
const networkFault = fc.record({
  kind: fc.constant('network fault' as const),
  between,
  deliveries: fc.array(delivery, { minLength: 1, maxLength: 8 }),
})

const atOnce = fc.record({
  kind: fc.constant('at once' as const),
  parts: fc.array(
    fc.record({
      afterMs: fc.nat({ max: 40 }),
      operation: fc.oneof(
        { weight: 6, arbitrary: request },
        { weight: 1, arbitrary: fc.oneof(kill, freeze) },
      ),
    }),
    { minLength: 2, maxLength: 6 },
  ),
})

/** An order is cancelled while its reserve is in flight, so that the release may overtake the reserve. */
const cancelDuringReserve = fc
  .record({ buy, delayMs: fc.integer({ min: 50, max: 900 }), afterMs: fc.integer({ min: 10, max: 300 }) })
  .map(
    ({ buy, delayMs, afterMs }): Operation => ({
      kind: 'at once',
      parts: [
        { afterMs: 0, operation: { kind: 'network fault', between: 'services', deliveries: [{ delayMs }] } },
        { afterMs: 0, operation: buy },
        { afterMs, operation: { kind: 'cancel the newest', back: 0 } },
      ],
    }),
  )

/** @param maxWaitMs the longest time without a request */
const operation = (maxWaitMs: number): fc.Arbitrary<Operation> =>
  fc.oneof(
    { weight: 26, arbitrary: request },
    { weight: 7, arbitrary: atOnce },
    { weight: 2, arbitrary: cancelDuringReserve },
    { weight: 2, arbitrary: kill },
    { weight: 2, arbitrary: freeze },
    { weight: 3, arbitrary: networkFault },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('wait' as const),
        waitMs: fc.integer({ min: 100, max: maxWaitMs }),
      }),
    },
  )

/** A list of operations. It is made of four parts, so that shrinking can drop a whole part and needs only a few tries. */
export function operations(maxOperations: number, maxWaitMs: number): fc.Arbitrary<Operation[]> {
  const part = fc.array(operation(maxWaitMs), { maxLength: Math.ceil(maxOperations / 4), size: 'max' })
  // By default fast-check prefers short lists and small values, which seldom interfere with each other.
  return fc.noBias(fc.tuple(part, part, part, part).map((parts) => parts.flat()))
}

/** One fault of each kind (lost request, lost answer, duplicated request, freeze, kill), each followed by requests. */
export const oneFaultOfEachKind: fc.Arbitrary<Operation[]> = fc.tuple(
  fc.record({
    kind: fc.constant('network fault' as const),
    between: fc.constant('services' as const),
    deliveries: fc.shuffledSubarray([{ times: 0 }, { answerLost: true }, { times: 2 }], { minLength: 3 }),
  }),
  buy,
  buy,
  buy,
  fc.record({ ...fixed({ kind: 'freeze' as const, operations: 1 }), service }),
  buy,
  fc.record({ ...fixed({ kind: 'kill' as const, operations: 1 }), service }),
  atOnce,
)

function fixed<Fields extends object>(fields: Fields) {
  const constants = Object.entries(fields).map(([name, value]) => [name, fc.constant(value)])
  return Object.fromEntries(constants) as { [Name in keyof Fields]: fc.Arbitrary<Fields[Name]> }
}

export function describeOperation(operation: Operation): string {
  switch (operation.kind) {
    case 'buy': {
      const { customer, keyed, lines } = operation
      const wanted = lines.map(({ product, quantity }) => `${quantity} × product ${product}`).join(', ')
      return `customer ${customer} buys ${wanted}${keyed ? ' under a key' : ''}`
    }
    case 'retry':
      return `retry the purchase ${operation.back} back, ${operation.times} × at once`
    case 'retry with another body':
      return `retry the purchase ${operation.back} back with another body`
    case 'cancel':
      return `cancel the order ${operation.back} back by ${operation.by}, as its ${operation.as}`
    case 'cancel the newest':
      return `cancel the newest listed order of the customer of the purchase ${operation.back} back`
    case 'ship':
    case 'deliver':
      return `${operation.kind} the order ${operation.back} back`
    case 'change stock':
      return `change the stock of product ${operation.product} by ${operation.change}`
    case 'create product':
      return `create a product, ${operation.times} × at once`
    case 'set price':
      return `set the price of product ${operation.product} to ${operation.price}`
    case 'set stock':
      return `set the stock of product ${operation.product} to ${operation.stock}`
    case 'delete product':
      return `delete product ${operation.product}`
    case 'kill':
    case 'freeze':
      return `${operation.kind} ${operation.service} for ${operation.operations} operations`
    case 'network fault':
      return `deliver the next requests of ${operation.between} with faults: ${JSON.stringify(operation.deliveries)}`
    case 'wait':
      return `wait ${operation.waitMs} ms`
    case 'at once':
      return `at once: ${operation.parts
        .map((part) => `after ${part.afterMs} ms ${describeOperation(part.operation)}`)
        .join('; ')}`
  }
}
