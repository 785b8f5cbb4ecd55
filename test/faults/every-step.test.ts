import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Audit } from '#test/support/audit-command.ts'
import type { Account, Answer, Json } from '#test/support/client.ts'
import type { Shape } from '#test/support/processes.ts'
import { stockInvariantViolations } from '#test/support/stock-invariant.ts'
import { attempt, isFinal, type Outcome, persist } from './attempts.ts'
import { bothShapes, inBothShapes } from './campaigns.ts'
import { type Chance, createChance, faultSeed } from './chance.ts'
import { type Armed, type Fleet, startFleet } from './fleet.ts'
import { settled } from './settling.ts'
import { faults } from './size.ts'

type Operation = 'create' | 'cancel'

/** The point at which the death of a process interrupts a request, and the events after it. */
interface Point {
  operation: Operation
  service: string
  /** The number of the step, from 1. */
  at: number
  step: string
  /** Whether the step is the last one of that service, which makes the effect of the request final. */
  isLast: boolean
  when: 'before' | 'after'
  /** `at once`: while the request still runs in another service. `later`: after the client gave up. */
  revival: 'at once' | 'later'
  client: 'retries' | 'leaves it alone'
}

interface Case {
  point: Point
  productId: string
  key: string
  /** Known from the start if the request cancels an order. */
  orderId: string | undefined
  first: Outcome
  /** The answer to the last retry. */
  final: Promise<Answer> | undefined
}

/** The state of a case after the system has settled. */
interface Ending {
  point: Point
  first: Outcome
  final: Answer | undefined
  /** The statuses of all orders of the case. */
  statuses: string[]
  stock: number
  /** If no client had retried: the answer to a request with the same key, and the state after that answer. */
  afterwards?: { answer: Answer; orders: Json[]; stock: number }
}

interface Campaign {
  endings: Ending[]
  unbalanced: string[]
  audit: Audit
}

const stock = 10
const quantity = 3
// The slowest case takes a lease, 10 s until the undo, and concurrent retries on busy cores.
const answerTimeoutMs = 60_000
// On busy cores a request may time out before it reaches the step. Then the test tries another request.
const maxTries = 10

const seed = faultSeed()
const fleets: Fleet[] = []
let campaigns: Map<Shape, Campaign>

beforeAll(async () => {
  console.log(`every step: FAULT_SEED=${seed}`)
  campaigns = await inBothShapes(campaign)
}, 1_200_000)
afterAll(() => Promise.all(fleets.map((fleet) => fleet.stop())))

describe.each(bothShapes)('a request whose process dies at any step, %s', (shape) => {
  const endings = (operation: Operation, client: Point['client']): [string, Ending][] => {
    const of = campaigns.get(shape)?.endings ?? []
    const matching = of.filter(({ point }) => point.operation === operation && point.client === client)
    expect(matching).not.toEqual([])
    return matching.map((ending) => [label(ending.point), ending])
  }

  it('is completed by a retry as one confirmed order', () => {
    for (const [point, { final, statuses, stock: left }] of endings('create', 'retries')) {
      expect(final, point).toMatchObject({ status: 201, body: { status: 'confirmed' } })
      expect(
        statuses.filter((status) => status !== 'cancelled'),
        point,
      ).toEqual(['confirmed'])
      expect(left, point).toBe(stock - quantity)
    }
  })

  it('is cancelled once when the cancellation is repeated', () => {
    for (const [point, { final, statuses, stock: left }] of endings('cancel', 'retries')) {
      expect(final, point).toMatchObject({ status: 200, body: { status: 'cancelled' } })
      expect(statuses, point).toEqual(['cancelled'])
      expect(left, point).toBe(stock)
    }
  })

  it('without a retry leaves the order confirmed, or undone with no stock held and a free key', () => {
    for (const [point, ending] of endings('create', 'leaves it alone')) {
      const { statuses, stock: left, afterwards } = ending
      expect(statusesLeft(ending), point).toContainEqual(statuses)
      const confirmed = statuses.includes('confirmed')
      expect(left, point).toBe(confirmed ? stock - quantity : stock)
      expect(afterwards?.answer, point).toMatchObject({ status: 201, body: { status: 'confirmed' } })
      const replayed = afterwards?.answer.headers.get('idempotent-replayed') ?? null
      expect(replayed, point).toBe(confirmed ? 'true' : null)
      expect(
        afterwards?.orders.filter(({ status }) => status === 'confirmed'),
        point,
      ).toHaveLength(1)
      expect(afterwards?.stock, point).toBe(stock - quantity)
    }
  })

  it('without a retry leaves a cancellation finished or never begun', () => {
    for (const [point, ending] of endings('cancel', 'leaves it alone')) {
      const { statuses, stock: left } = ending
      expect(statusesLeft(ending), point).toContainEqual(statuses)
      expect(left, point).toBe(statuses.includes('cancelled') ? stock : stock - quantity)
    }
  })

  it('leaves balanced books and no findings of the audit', () => {
    const { unbalanced, audit } = campaigns.get(shape) ?? {}
    expect(unbalanced).toEqual([])
    expect(audit).toMatchObject({ code: 0, report: { findings: [] } })
  })
})

/** The statuses that the orders of a case may have if no client has retried. */
function statusesLeft({ point, first }: Ending): string[][] {
  const { operation, service, at, isLast, when } = point
  if (operation === 'create') {
    if (first.status === 201) return [['confirmed']]
    if (service === 'product') return [['confirmed'], ['cancelled']]
    if (at === 1 && when === 'before') return [[]]
    return isLast && when === 'after' ? [['confirmed']] : [['cancelled']]
  }
  // The first step reads the order, and the second one begins the cancellation.
  const begun = service === 'product' || at > 2 || (at === 2 && when === 'after')
  return begun ? [['cancelled']] : [['confirmed']]
}

const label = ({ operation, service, at, step, when, revival, client }: Point): string =>
  `${operation}: ${service} dies ${when} step ${at} (${step}), comes back ${revival}, the client ${client}`

async function campaign(shape: Shape): Promise<Campaign> {
  const fleet = await startFleet(shape, { steps: true })
  fleets.push(fleet)
  const customer = await fleet.customer()
  // Cases that wait for the sweeper come first, so that they wait while later cases run.
  const waits = ({ client }: Point) => (client === 'leaves it alone' ? 0 : 1)
  const points = chosen(await allPoints(fleet, customer), createChance(seed)).sort(
    (a, b) => waits(a) - waits(b),
  )
  const started = Date.now()
  const cases: Case[] = []
  for (const point of points) cases.push(await interrupted(fleet, customer, point))
  const finals = await Promise.all(cases.map(({ final }) => final))
  const took = Date.now() - started
  const settledAfter = await settled(fleet, Date.now())

  const endings: Ending[] = []
  for (const [at, ended] of cases.entries()) endings.push(await ending(fleet, customer, ended, finals[at]))
  const audit = await fleet.audit()
  console.log(
    `${shape}: ${points.length} deaths in ${took} ms, settled ${settledAfter} ms later, audit ${JSON.stringify(audit)}`,
  )
  return { endings, unbalanced: await stockInvariantViolations(fleet), audit }
}

/** Creates a product that no other case uses. */
async function ownProduct(fleet: Fleet): Promise<string> {
  const body = { name: 'Cup', price: 12.9, stock }
  const create = () => fleet.post('/products/create_product', { token: fleet.adminToken, body })
  return (await persist(create, answerTimeoutMs)).body.productId
}

/**
 * Places an order until it succeeds. Then a restarted process has fetched the keys of auth, and open circuit breakers have
 * closed.
 */
async function warm(fleet: Fleet, customer: Account): Promise<void> {
  await placed(fleet, customer, { productId: await ownProduct(fleet), key: randomUUID() })
}

/** @returns the order's id */
async function placed(
  fleet: Fleet,
  customer: Account,
  order: Pick<Request, 'productId' | 'key'>,
): Promise<string> {
  const request = { ...order, operation: 'create' as const, orderId: undefined, requestId: randomUUID() }
  const answer = await persist(() => send(fleet, customer, request), answerTimeoutMs)
  expect(answer.status).toBe(201)
  return answer.body.orderId
}

/** All points: before and after each step that a request of each kind takes. */
async function allPoints(fleet: Fleet, customer: Account): Promise<Point[]> {
  const points: Point[] = []
  for (const operation of ['create', 'cancel'] as const) {
    for (const [service, steps] of await stepsOf(fleet, customer, operation)) {
      const revivals = service === 'product' ? (['at once', 'later'] as const) : (['later'] as const)
      for (const [index, step] of steps.entries()) {
        const place = { operation, service, at: index + 1, step, isLast: index === steps.length - 1 }
        for (const when of ['before', 'after'] as const)
          for (const revival of revivals)
            for (const client of ['retries', 'leaves it alone'] as const)
              points.push({ ...place, when, revival, client })
      }
    }
  }
  return points
}

/** The steps of such a request in each service that takes part. */
async function stepsOf(
  fleet: Fleet,
  customer: Account,
  operation: Operation,
): Promise<Map<string, string[]>> {
  const services = fleet.services.filter(({ name }) => name !== 'auth')
  for (let tries = 1; tries <= maxTries; tries++) {
    await warm(fleet, customer)
    const request = await prepared(fleet, customer, operation)
    const armed = new Map<string, Armed>()
    for (const service of services)
      armed.set(service.name, await service.arm({ requestId: request.requestId }))
    if (!isFinal(await attempt(() => send(fleet, customer, request)))) continue
    const steps = new Map<string, string[]>()
    for (const [name, { steps: taken }] of armed) steps.set(name, await taken())
    return steps
  }
  throw new Error(`no ${operation} came to its end`)
}

/** All points, or a sample: around the commit, one cancellation with and one without a retry, and any other point. */
function chosen(points: Point[], chance: Chance): Point[] {
  if (faults !== undefined) return points
  const pick = (more: Partial<Point>) =>
    chance.pick(
      points.filter((point) =>
        Object.entries(more).every(([name, value]) => point[name as keyof Point] === value),
      ),
    )
  const clients: Point['client'][] = ['retries', 'leaves it alone']
  const first = chance.pick(clients)
  const aroundTheCommit = clients.map((client) =>
    pick({
      operation: 'create',
      step: 'commitTransaction',
      when: client === first ? 'before' : 'after',
      client,
    }),
  )
  const cancellations = clients.map((client) => pick({ operation: 'cancel', client }))
  return [...new Set([...aroundTheCommit, ...cancellations, pick({})])]
}

interface Request {
  operation: Operation
  productId: string
  orderId: string | undefined
  key: string
  requestId: string
}

function send(
  fleet: Fleet,
  { token }: Account,
  { operation, productId, orderId, key, requestId }: Request,
): Promise<Answer> {
  const headers = { 'Idempotency-Key': key, 'X-Request-Id': requestId }
  if (operation === 'create') return fleet.order(token, [{ productId, quantity }], headers)
  return fleet.delete(`/orders/${orderId}`, { token, headers })
}

/** Sends one request whose process dies at the point. A retry continues in the background during the next case. */
async function interrupted(fleet: Fleet, customer: Account, point: Point): Promise<Case> {
  const service = fleet.service(point.service)
  await service.prepareNext()
  const revived = point.revival === 'at once' ? service.death().then(() => service.start()) : undefined
  for (let tries = 1; tries <= maxTries; tries++) {
    await warm(fleet, customer)
    const request = await prepared(fleet, customer, point.operation)
    const armed = await service.arm({ requestId: request.requestId, at: point.at, when: point.when })
    const first = await attempt(() => send(fleet, customer, request))
    if (!(await armed.disarm())) continue
    await (revived ?? service.start())
    const again = { ...request, requestId: randomUUID() }
    const retrying = () => persist(() => send(fleet, customer, again), answerTimeoutMs)
    const final = point.client === 'retries' ? retrying() : undefined
    // The campaign awaits all retries together, and sees the failure then.
    final?.catch(() => undefined)
    return { ...request, point, first, final }
  }
  throw new Error(`never got there: ${label(point)}`)
}

/** Prepares a request: its product, its key, and the order to cancel. */
async function prepared(fleet: Fleet, customer: Account, operation: Operation): Promise<Request> {
  const request = {
    operation,
    productId: await ownProduct(fleet),
    key: randomUUID(),
    requestId: randomUUID(),
  }
  return { ...request, orderId: operation === 'create' ? undefined : await placed(fleet, customer, request) }
}

async function ending(
  fleet: Fleet,
  customer: Account,
  settled: Case,
  final: Answer | undefined,
): Promise<Ending> {
  const { point, productId, first } = settled
  const orders = (await fleet.collections('order')).collection('orders')
  const ofCase = () => orders.find({ 'lines.productId': productId }).toArray()
  const stockLeft = async () => (await fleet.get(`/products/${productId}`)).body.stock
  const statuses = (await ofCase()).map(({ status }) => status)
  const seen = { point, first, final, statuses, stock: await stockLeft() }
  if (point.operation === 'cancel' || point.client === 'retries') return seen
  const again = { ...settled, operation: point.operation, requestId: randomUUID() }
  const answer = await persist(() => send(fleet, customer, again), answerTimeoutMs)
  return { ...seen, afterwards: { answer, orders: await ofCase(), stock: await stockLeft() } }
}
