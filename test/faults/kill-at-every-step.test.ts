import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Audit } from '#test/support/audit-command.ts'
import type { Account, Answer, Json } from '#test/support/client.ts'
import type { Shape } from '#test/support/processes.ts'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import { bothShapes, runInBothShapes } from './both-shapes.ts'
import { faultCount } from './fault-count.ts'
import { type Fleet, startFleet } from './fleet.ts'
import type { WatchedRequest } from './fleet-service.ts'
import { isFinal, type Outcome, sendOnce, sendUntilFinal } from './outcomes.ts'
import { createSeededRandom, faultSeed, type SeededRandom } from './seeded-random.ts'
import { waitUntilSettled } from './wait-until-settled.ts'

type Operation = 'create' | 'cancel' | 'create product'

/** The point at which the test kills a process that works on a request, and the events after it. */
interface KillPoint {
  operation: Operation
  service: string
  /** The number of the step, from 1. */
  step: number
  stepName: string
  /** Whether the step is the last one of that service, which makes the effect of the request final. */
  isLastStep: boolean
  when: 'before' | 'after'
  /** `at once`: while the request still runs in another service. `later`: after the client gave up. */
  restart: 'at once' | 'later'
  client: 'retries' | 'does not retry'
}

interface TestRequest {
  operation: Operation
  /** The product to order. */
  productId: string
  /** The order to cancel. */
  orderId: string | undefined
  /** The idempotency key, and the name of the product to create. */
  key: string
  requestId: string
}

/** A request that was interrupted by a kill. */
interface Case extends TestRequest {
  killPoint: KillPoint
  firstOutcome: Outcome
  /** The answer to the last retry, if the client retries. */
  finalAnswer: Promise<Answer> | undefined
}

/** The state of a case after the system has settled. */
interface SettledCase {
  killPoint: KillPoint
  firstOutcome: Outcome
  finalAnswer: Answer | undefined
  /** The statuses of all orders of the case. */
  statuses: string[]
  stock: number
  /** The number of products that the case has created. */
  created: number
  /** If no client had retried: the answer to a request with the same key, and the state after that answer. */
  lateRetry?: { answer: Answer; orders: Json[]; stock: number; created: number }
}

interface Campaign {
  cases: SettledCase[]
  unbalanced: string[]
  audit: Audit
}

const initialStock = 10
const quantity = 3
// The slowest case takes a lease, 10 s until the undo, and concurrent retries on busy cores.
const answerTimeoutMs = 60_000
// On busy cores a request may time out before it reaches the step. Then the test tries another request.
const maxTries = 10

const seed = faultSeed()
const fleets: Fleet[] = []
let campaigns: Map<Shape, Campaign>

beforeAll(async () => {
  console.log(`kill at every step: FAULT_SEED=${seed}`)
  campaigns = await runInBothShapes(runCampaign)
}, 1_200_000)
afterAll(() => Promise.all(fleets.map((fleet) => fleet.stop())))

describe.each(bothShapes)('a request whose process dies at any step, %s', (shape) => {
  const casesOf = (operation: Operation, client: KillPoint['client']): [string, SettledCase][] => {
    const matching = (campaigns.get(shape)?.cases ?? []).filter(
      ({ killPoint }) => killPoint.operation === operation && killPoint.client === client,
    )
    expect(matching).not.toEqual([])
    return matching.map((settled) => [describeKill(settled.killPoint), settled])
  }

  it('a retry completes an order whose process died at any step, as one confirmed order', () => {
    for (const [title, { finalAnswer, statuses, stock }] of casesOf('create', 'retries')) {
      expect(finalAnswer, title).toMatchObject({ status: 201, body: { status: 'confirmed' } })
      expect(
        statuses.filter((status) => status !== 'cancelled'),
        title,
      ).toEqual(['confirmed'])
      expect(stock, title).toBe(initialStock - quantity)
    }
  })

  it('a retry completes a cancellation whose process died at any step, and returns the stock once', () => {
    for (const [title, { finalAnswer, statuses, stock }] of casesOf('cancel', 'retries')) {
      expect(finalAnswer, title).toMatchObject({ status: 200, body: { status: 'cancelled' } })
      expect(statuses, title).toEqual(['cancelled'])
      expect(stock, title).toBe(initialStock)
    }
  })

  it('an order whose process died is confirmed without a retry, or undone with no stock held and a free key', () => {
    for (const [title, settled] of casesOf('create', 'does not retry')) {
      const { statuses, stock, lateRetry } = settled
      expect(possibleStatuses(settled), title).toContainEqual(statuses)
      const isConfirmed = statuses.includes('confirmed')
      expect(stock, title).toBe(isConfirmed ? initialStock - quantity : initialStock)
      expect(lateRetry?.answer, title).toMatchObject({ status: 201, body: { status: 'confirmed' } })
      const replayed = lateRetry?.answer.headers.get('idempotent-replayed') ?? null
      expect(replayed, title).toBe(isConfirmed ? 'true' : null)
      expect(
        lateRetry?.orders.filter(({ status }) => status === 'confirmed'),
        title,
      ).toHaveLength(1)
      expect(lateRetry?.stock, title).toBe(initialStock - quantity)
    }
  })

  it('a cancellation whose process died is finished without a retry, or was never begun', () => {
    for (const [title, settled] of casesOf('cancel', 'does not retry')) {
      const { statuses, stock } = settled
      expect(possibleStatuses(settled), title).toContainEqual(statuses)
      expect(stock, title).toBe(statuses.includes('cancelled') ? initialStock : initialStock - quantity)
    }
  })

  it('a retry completes the creation of a product whose process died at any step, as one product', () => {
    for (const [title, { finalAnswer, created }] of casesOf('create product', 'retries')) {
      expect(finalAnswer, title).toMatchObject({ status: 201, body: { stock: initialStock, version: 1 } })
      expect(created, title).toBe(1)
    }
  })

  it('a product whose process died was created with its answer, or not at all and its key is free', () => {
    for (const [title, settled] of casesOf('create product', 'does not retry')) {
      const { killPoint, created, lateRetry } = settled
      const isCommitted = killPoint.isLastStep && killPoint.when === 'after'
      expect(created, title).toBe(isCommitted ? 1 : 0)
      expect(lateRetry?.answer, title).toMatchObject({ status: 201, body: { stock: initialStock } })
      const replayed = lateRetry?.answer.headers.get('idempotent-replayed') ?? null
      expect(replayed, title).toBe(isCommitted ? 'true' : null)
      expect(lateRetry?.created, title).toBe(1)
    }
  })

  it('the books balance and the audit has no findings after a kill at every step', () => {
    const { unbalanced, audit } = campaigns.get(shape) ?? {}
    expect(unbalanced).toEqual([])
    expect(audit).toMatchObject({ code: 0, report: { findings: [] } })
  })
})

/** The statuses that the orders of a case may have if no client has retried. */
function possibleStatuses({ killPoint, firstOutcome }: SettledCase): string[][] {
  const { operation, service, step, stepName, isLastStep, when } = killPoint
  if (operation === 'create') {
    if (firstOutcome.status === 201) return [['confirmed']]
    if (service === 'product') return [['confirmed'], ['cancelled']]
    // The last step inserts the order, and the step before it commits the reservation.
    if (isLastStep) return when === 'after' ? [['confirmed']] : [['cancelled']]
    // In the split shape, the step before it is the call of the product service.
    const isReserved = ['commitTransaction', 'POST /internal/product/reserve'].includes(stepName)
    return isReserved && when === 'after' ? [['cancelled']] : [[]]
  }
  // The first step reads the order, and the second one begins the cancellation.
  const isBegun = service === 'product' || step > 2 || (step === 2 && when === 'after')
  return isBegun ? [['cancelled']] : [['confirmed']]
}

const describeKill = ({ operation, service, step, stepName, when, restart, client }: KillPoint): string =>
  `${operation}: ${service} dies ${when} step ${step} (${stepName}), restarts ${restart}, the client ${client}`

async function runCampaign(shape: Shape): Promise<Campaign> {
  const fleet = await startFleet(shape, { watchSteps: true })
  fleets.push(fleet)
  const customer = await fleet.customer()
  // Cases that wait for the sweeper come first, so that they wait while later cases run.
  const rank = ({ client }: KillPoint) => (client === 'does not retry' ? 0 : 1)
  const killPoints = choose(await listKillPoints(fleet, customer), createSeededRandom(seed)).sort(
    (a, b) => rank(a) - rank(b),
  )
  const startedAt = Date.now()
  const cases: Case[] = []
  for (const killPoint of killPoints) cases.push(await runCase(fleet, customer, killPoint))
  const finalAnswers = await Promise.all(cases.map(({ finalAnswer }) => finalAnswer))
  const tookMs = Date.now() - startedAt
  const settledAfterMs = await waitUntilSettled(fleet, Date.now())

  const settled: SettledCase[] = []
  for (const [at, each] of cases.entries()) {
    settled.push(await settleCase(fleet, customer, each, finalAnswers[at]))
  }
  const audit = await fleet.audit()
  console.log(
    `${shape}: ${killPoints.length} kills in ${tookMs} ms, settled ${settledAfterMs} ms later, audit ${JSON.stringify(audit)}`,
  )
  return { cases: settled, unbalanced: await findUnbalancedBooks(fleet), audit }
}

/** Lists all kill points: before and after each step of each kind of request. */
async function listKillPoints(fleet: Fleet, customer: Account): Promise<KillPoint[]> {
  const points: KillPoint[] = []
  for (const operation of ['create', 'cancel', 'create product'] as const) {
    for (const [service, stepNames] of await listSteps(fleet, customer, operation)) {
      const restarts = service === 'product' ? (['at once', 'later'] as const) : (['later'] as const)
      for (const [index, stepName] of stepNames.entries()) {
        const isLastStep = index === stepNames.length - 1
        const place = { operation, service, step: index + 1, stepName, isLastStep }
        for (const when of ['before', 'after'] as const)
          for (const restart of restarts)
            for (const client of ['retries', 'does not retry'] as const)
              points.push({ ...place, when, restart, client })
      }
    }
  }
  return points
}

/** Executes a request of this kind without a kill. @returns the names of its steps, by service */
async function listSteps(
  fleet: Fleet,
  customer: Account,
  operation: Operation,
): Promise<Map<string, string[]>> {
  const services = fleet.services.filter(({ name }) => name !== 'auth')
  for (let tries = 1; tries <= maxTries; tries++) {
    await warmUp(fleet, customer)
    const request = await prepareRequest(fleet, customer, operation)
    const { requestId } = request
    const watched = new Map<string, WatchedRequest>()
    for (const service of services) watched.set(service.name, await service.watch({ requestId }))
    if (!isFinal(await sendOnce(() => send(fleet, customer, request)))) continue
    const steps = new Map<string, string[]>()
    for (const [name, request] of watched) steps.set(name, await request.steps())
    return steps
  }
  throw new Error(`no ${operation} got a final answer`)
}

/**
 * Returns all points if FAULTS is set, or else a sample: before and after the commit, a cancellation and a creation of a product with
 * a retry and without, and one more.
 */
function choose(points: KillPoint[], random: SeededRandom): KillPoint[] {
  if (faultCount !== undefined) return points
  const pick = (fields: Partial<KillPoint>) =>
    random.pick(
      points.filter((point) =>
        Object.entries(fields).every(([name, value]) => point[name as keyof KillPoint] === value),
      ),
    )
  const clients: KillPoint['client'][] = ['retries', 'does not retry']
  const first = random.pick(clients)
  const aroundTheCommit = clients.map((client) =>
    pick({
      operation: 'create',
      stepName: 'commitTransaction',
      when: client === first ? 'before' : 'after',
      client,
    }),
  )
  const others = (['cancel', 'create product'] as const).flatMap((operation) =>
    clients.map((client) => pick({ operation, client })),
  )
  return [...new Set([...aroundTheCommit, ...others, pick({})])]
}

/** Sends one request whose process dies at the kill point. A retry continues in the background during the next case. */
async function runCase(fleet: Fleet, customer: Account, killPoint: KillPoint): Promise<Case> {
  const { operation, restart, client, step, when } = killPoint
  const service = fleet.service(killPoint.service)
  await service.startSpare()
  const restarted = restart === 'at once' ? service.ended().then(() => service.start()) : undefined
  for (let tries = 1; tries <= maxTries; tries++) {
    await warmUp(fleet, customer)
    const request = await prepareRequest(fleet, customer, operation)
    const watched = await service.watch({ requestId: request.requestId, killAt: { step, when } })
    const firstOutcome = await sendOnce(() => send(fleet, customer, request))
    if (!(await watched.endWatch())) continue
    await (restarted ?? service.start())
    const again = { ...request, requestId: randomUUID() }
    const retry = () => sendUntilFinal(() => send(fleet, customer, again), answerTimeoutMs)
    const finalAnswer = client === 'retries' ? retry() : undefined
    // The campaign awaits all retries together, and sees the failure then.
    finalAnswer?.catch(() => undefined)
    return { ...request, killPoint, firstOutcome, finalAnswer }
  }
  throw new Error(`no request reached the step: ${describeKill(killPoint)}`)
}

/** Reads the state of a case, and sends its request again if no client has retried. */
async function settleCase(
  fleet: Fleet,
  customer: Account,
  request: Case,
  finalAnswer: Answer | undefined,
): Promise<SettledCase> {
  const { killPoint, productId, firstOutcome } = request
  const stored = (await fleet.collections('order')).collection('orders')
  const readOrders = () => stored.find({ 'lines.productId': productId }).toArray()
  const products = (await fleet.collections('product')).collection('products')
  const countCreated = () => products.countDocuments({ name: request.key })
  const readStock = async () => (await fleet.get(`/products/${productId}`)).body.stock
  const statuses = (await readOrders()).map(({ status }) => status)
  const stock = await readStock()
  const settled = { killPoint, firstOutcome, finalAnswer, statuses, stock, created: await countCreated() }
  if (killPoint.operation === 'cancel' || killPoint.client === 'retries') return settled
  const again = { ...request, requestId: randomUUID() }
  const answer = await sendUntilFinal(() => send(fleet, customer, again), answerTimeoutMs)
  const orders = await readOrders()
  return {
    ...settled,
    lateRetry: { answer, orders, stock: await readStock(), created: await countCreated() },
  }
}

/** Prepares a request: its product, which no other case uses, its key, and the order to cancel. */
async function prepareRequest(fleet: Fleet, customer: Account, operation: Operation): Promise<TestRequest> {
  const request = {
    operation,
    productId: await createProduct(fleet),
    key: randomUUID(),
    requestId: randomUUID(),
  }
  return {
    ...request,
    orderId: operation === 'cancel' ? await placeOrder(fleet, customer, request) : undefined,
  }
}

function send(
  fleet: Fleet,
  { token }: Account,
  { operation, productId, orderId, key, requestId }: TestRequest,
): Promise<Answer> {
  const headers = { 'Idempotency-Key': key, 'X-Request-Id': requestId }
  if (operation === 'create') return fleet.order(token, [{ productId, quantity }], headers)
  if (operation === 'create product') {
    const body = { name: key, price: 12.9, stock: initialStock }
    return fleet.post('/products', { token: fleet.adminToken, headers, body })
  }
  return fleet.delete(`/orders/${orderId}`, { token, headers })
}

/**
 * Places an order until it succeeds. Then a restarted process has fetched the keys of auth, and open circuit breakers have
 * closed.
 */
async function warmUp(fleet: Fleet, customer: Account): Promise<void> {
  await placeOrder(fleet, customer, { productId: await createProduct(fleet), key: randomUUID() })
}

/** @returns the order's id */
async function placeOrder(
  fleet: Fleet,
  customer: Account,
  order: Pick<TestRequest, 'productId' | 'key'>,
): Promise<string> {
  const request = { ...order, operation: 'create' as const, orderId: undefined, requestId: randomUUID() }
  const answer = await sendUntilFinal(() => send(fleet, customer, request), answerTimeoutMs)
  expect(answer.status).toBe(201)
  return answer.body.orderId
}

async function createProduct(fleet: Fleet): Promise<string> {
  const body = { name: 'Cup', price: 12.9, stock: initialStock }
  const create = () => fleet.post('/products', { token: fleet.adminToken, body })
  return (await sendUntilFinal(create, answerTimeoutMs)).body.productId
}
