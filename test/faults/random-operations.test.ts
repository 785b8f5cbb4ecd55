/**
 * Several clients send random requests while processes die or freeze, and the network loses and duplicates messages.
 * fast-check makes the list of operations of each run from a seed. At the end of a run all faults heal, and the test compares
 * the history of the clients with the stored state.
 *
 * To replay a failed run, set the variables in its message: FAULT_SEED and FAULT_PATH, and FAULTS if it was set, because it
 * decides the length of the runs. A replay has the same operations, but not the same timing.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Answer } from '#test/support/client.ts'
import type { Shape } from '#test/support/processes.ts'
import { stockInvariantViolations } from '#test/support/stock-invariant.ts'
import { attempt, type Outcome } from './attempts.ts'
import { bothShapes, inBothShapes } from './campaigns.ts'
import { faultSeed } from './chance.ts'
import { type Fleet, type Service, startFleet } from './fleet.ts'
import {
  acknowledgedOrder,
  codeOf,
  disagreements,
  type Edit,
  type Knowledge,
  orderIdOf,
  otherLines,
  type Purchase,
  place,
  putIn,
  type Restock,
  type Shelf,
  type StatusChange,
} from './knowledge.ts'
import type { Delivery } from './link.ts'
import {
  customers,
  describeOperation,
  type Operation,
  oneOfEach,
  operations,
  products,
  type Request,
  type Strike,
} from './operations.ts'
import { settled } from './settling.ts'
import { faults } from './size.ts'

const seed = faultSeed()
const path = process.env.FAULT_PATH
// Without FAULTS, a run is short enough for each test run: a few operations, with at least one fault of each kind.
const runs = faults === undefined ? 1 : Math.ceil(faults / 5)
const sequence =
  faults === undefined
    ? fc.tuple(oneOfEach, operations(20, 1_200)).map((parts) => parts.flat())
    : fc.oneof(
        { weight: 4, arbitrary: operations(60, 1_500) },
        // These pauses are long enough for the sweeper to undo abandoned orders.
        { weight: 1, arbitrary: operations(60, 15_000) },
      )
// A run takes half a minute, and its failure may not happen again, so shrinking has to end soon.
const maxShrinks = faults === undefined ? 0 : 20
const initialStock = 12
const initialPrice = 12.9
const quietTimeoutMs = 60_000

interface Campaign {
  failure: string | undefined
  tally: Tally
}

/** Counts of actions, by name. */
type Tally = Map<string, number>

const fleets: Fleet[] = []
let campaigns: Map<Shape, Campaign>

beforeAll(async () => {
  console.log(`random operations: FAULT_SEED=${seed}`)
  campaigns = await inBothShapes(campaign)
}, 14_400_000)
afterAll(() => Promise.all(fleets.map((fleet) => fleet.stop())))

describe.each(bothShapes)('random operations and faults, %s', (shape) => {
  it('contradict no answer, and leave no stray hold and no unfinished order', () => {
    expect(campaigns.get(shape)?.failure).toBeUndefined()
  })

  it('confirm orders, and include kills, freezes, and lost and duplicated messages', () => {
    const { tally = new Map<string, number>() } = campaigns.get(shape) ?? {}
    const met = ['orders confirmed', 'kill', 'freeze', 'requests lost', 'replies lost', 'requests doubled']
    expect(met.filter((name) => !tally.get(name))).toEqual(path === undefined ? [] : expect.anything())
  })
})

async function campaign(shape: Shape): Promise<Campaign> {
  const tally: Tally = new Map()
  let fleet: Fleet | undefined
  let failures = 0

  const property = fc.asyncProperty(sequence, async (sequence) => {
    // After enough shrinks each further run passes, so that fast-check reports the smallest failed run.
    if (failures > 0 && tally.get('runs to shrink') === maxShrinks) return
    if (failures > 0) count(tally, 'runs to shrink')
    fleet ??= await startFleet(shape, { settings: { REGISTRATIONS_PER_ADDRESS: '1000000/1h' } })
    if (!fleets.includes(fleet)) fleets.push(fleet)
    const { log, faults } = await run(fleet, sequence, tally)
    if (faults.length === 0) return
    failures++
    // The next run would find the contradictions of this run again.
    await retire(fleet)
    fleet = undefined
    throw new Error([...faults.map((fault) => `- ${fault}`), 'after', ...log].join('\n'))
  })
  const details = await fc.check(property, {
    seed,
    numRuns: path === undefined ? runs : 1,
    ...(path !== undefined && { path }),
    endOnFailure: maxShrinks === 0,
  })
  if (fleet) tallyLinks(fleet, tally)
  report(shape, tally)
  return { failure: details.failed ? describeFailure(shape, details) : undefined, tally }

  async function retire(failed: Fleet): Promise<void> {
    tallyLinks(failed, tally)
    fleets.splice(fleets.indexOf(failed), 1)
    await failed.stop()
  }
}

/** Describes the smallest failed run, and how to replay it. */
function describeFailure(shape: Shape, details: fc.RunDetails<[Operation[]]>): string {
  const variables = [
    ...(faults === undefined ? [] : [`FAULTS=${faults}`]),
    `FAULT_SEED=${details.seed}`,
    `FAULT_PATH=${details.counterexamplePath}`,
  ]
  const text = [
    `${shape}: run ${details.numRuns} failed; replay it with ${variables.join(' ')}`,
    String(details.errorInstance instanceof Error ? details.errorInstance.message : details.errorInstance),
  ].join('\n')
  console.log(text)
  return text
}

/** One run: the history of the clients, and the state of the services. */
interface Run extends Knowledge {
  fleet: Fleet
  /** The dead or frozen services, and the operation after which each recovers. */
  ailing: Map<Service, { isDead: boolean; until: number; recover(): Promise<void> }>
  /** What the network does to the next messages. */
  deliveries: Record<'services' | 'clients', Delivery[]>
  at: number
  tally: Tally
  /** Complaints about answers that no request should ever get. */
  unexpectedAnswers: string[]
}

async function run(
  fleet: Fleet,
  sequence: readonly Operation[],
  tally: Tally,
): Promise<{ log: string[]; faults: string[] }> {
  const log: string[] = []
  try {
    const run = await begin(fleet, tally)
    const started = Date.now()
    for (const [at, operation] of sequence.entries()) {
      run.at = at
      const since = Date.now() - started
      log.push(`  ${at}. (${since} ms) ${describeOperation(operation)} → ${await perform(run, operation)}`)
      await recover(run, ({ until }) => until <= at)
    }
    await recover(run, () => true)
    for (const { link } of fleet.services) link.disturb()
    return { log, faults: [...run.unexpectedAnswers, ...(await aftermath(run, Date.now()))] }
  } catch (error) {
    // An error counts as a fault, and is reported together with the operations before it.
    return { log, faults: [error instanceof Error ? (error.stack ?? error.message) : String(error)] }
  }
}

/** Creates the customers and products of one run. All services are well at this time. */
async function begin(fleet: Fleet, tally: Tally): Promise<Run> {
  const accounts = []
  for (let nth = 0; nth < customers; nth++) accounts.push(await fleet.customer())
  const shelves: Shelf[] = []
  for (let nth = 0; nth < products; nth++) {
    const product = { name: `Cup ${nth}`, price: initialPrice, stock: initialStock }
    const { productId } = await fleet.product(fleet.adminToken, product)
    shelves.push({ productId, stock: initialStock, price: initialPrice, deletions: [] })
  }
  const run: Run = {
    customers: accounts,
    products: shelves,
    purchases: [],
    statusChanges: [],
    restocks: [],
    edits: [],
    doubled: 0,
    fleet,
    ailing: new Map(),
    deliveries: { services: [], clients: [] },
    at: 0,
    tally,
    unexpectedAnswers: [],
  }
  for (const { link } of fleet.services) link.disturb((target) => delivery(run, target))
  count(tally, 'runs')
  return run
}

function delivery(run: Run, target: string): Delivery {
  if (target.startsWith('/internal')) return run.deliveries.services.shift() ?? {}
  if (!/^\/(orders|products)/.test(target)) return {}
  const { times, ...rest } = run.deliveries.clients.shift() ?? {}
  // These requests have no key. The answer to the second arrival would hide the effect of the first one, so they arrive once.
  if (times === 2 && /^\/products\/[0-9a-f]{24}$/.test(target)) return rest
  if (times === 2) run.doubled++
  return times === undefined ? rest : { ...rest, times }
}

async function recover(run: Run, isDue: (ailing: { until: number }) => boolean): Promise<void> {
  for (const [service, ailing] of run.ailing) {
    if (!isDue(ailing)) continue
    run.ailing.delete(service)
    await ailing.recover()
  }
}

/** Waits until the system has settled. @returns the contradictions */
async function aftermath(run: Run, healed: number): Promise<string[]> {
  const { fleet, tally } = run
  const quiet = fleet.services.map(() => 0)
  const underWay = () => expect(fleet.services.map(({ link }) => link.underWay())).toEqual(quiet)
  await vi.waitFor(underWay, { timeout: quietTimeoutMs })
  const took = await settled(fleet, healed)
  tally.set('longest settling (ms)', Math.max(took, tally.get('longest settling (ms)') ?? 0))
  const found = await disagreements(run, fleet)
  const unbalanced = await stockInvariantViolations(fleet)
  const { code, report } = await fleet.audit()
  await tallyOrders(run)
  count(tally, code === 0 ? 'audits clean' : 'audits with findings')
  return [
    ...found,
    ...unbalanced.map((fault) => `books: ${fault}`),
    ...report.findings.map((finding) => `audit: ${JSON.stringify(finding)}`),
    ...(code === 0 || report.findings.length > 0 ? [] : [`audit: exit code ${code}`]),
  ]
}

/** @returns a description of the outcome, for the log */
async function perform(run: Run, operation: Operation): Promise<string> {
  switch (operation.kind) {
    case 'let time pass':
      await sleep(operation.milliseconds)
      count(run.tally, operation.kind)
      return 'passed'
    case 'disturb':
      run.deliveries[run.fleet.shape === 'split' ? operation.between : 'clients'] = [...operation.deliveries]
      count(run.tally, operation.kind)
      return 'from now on'
    case 'kill':
    case 'freeze':
      return strike(run, operation)
    case 'at once': {
      count(run.tally, operation.kind)
      const outcomes = await Promise.all(
        operation.parts.map(async ({ after, operation }) => {
          await sleep(after)
          return perform(run, operation)
        }),
      )
      return outcomes.join('; ')
    }
    default: {
      const outcomes = await ask(run, operation)
      count(run.tally, outcomes.length === 0 ? 'nothing to ask for' : operation.kind)
      for (const outcome of outcomes) {
        const said = `${outcome.status} ${codeOf(outcome)}`.trim()
        count(run.tally, outcome.status === 0 || outcome.status >= 500 ? 'without an answer' : 'answered')
        if (!expected(operation).includes(said))
          run.unexpectedAnswers.push(`${describeOperation(operation)} was answered ${said}`)
      }
      return outcomes.map(summary).join(', ') || 'nothing to ask for'
    }
  }
}

/** Describes an outcome with the order that it names. */
function summary(outcome: Outcome): string {
  const orderId = 'body' in outcome ? outcome.body?.orderId : undefined
  return `${outcome.status} ${codeOf(outcome)}${orderId === undefined ? '' : ` (${orderId})`}`.trim()
}

async function strike(run: Run, { kind, service: name, operations }: Strike): Promise<string> {
  const service = run.fleet.service(name)
  const ailing = run.ailing.get(service)
  // A frozen process can still be killed.
  if (ailing && (kind === 'freeze' || ailing.isDead)) return `${service.name} is not well already`
  count(run.tally, kind)
  const until = run.at + operations
  if (kind === 'freeze') {
    service.freeze()
    run.ailing.set(service, { isDead: false, until, recover: async () => service.thaw() })
    return 'frozen'
  }
  const killed = service.kill()
  const recover = () => killed.then(() => service.start())
  run.ailing.set(service, { isDead: true, until, recover })
  await killed
  if (operations > 0) return 'dead'
  await recover()
  run.ailing.delete(service)
  return 'back again'
}

/** Sends one request, or several equal ones. Sends none if no purchase or order exists yet that the request could name. */
async function ask(run: Run, request: Request): Promise<Outcome[]> {
  const { fleet } = run
  switch (request.kind) {
    case 'buy': {
      const customer = chosen(run.customers, request.customer)
      const lines = request.lines.map(({ product, quantity }) => {
        const { productId } = chosen(run.products, product)
        return { productId, quantity }
      })
      // The key names the operation that first sent it.
      const key = request.keyed ? `${run.at}-${randomUUID()}` : undefined
      const purchase: Purchase = { customer, key, lines, requests: [] }
      run.purchases.push(purchase)
      return [await buy(fleet, purchase, lines)]
    }
    case 'retry':
    case 'retry with another body': {
      const purchase = recent(
        run.purchases.filter(({ key }) => key !== undefined),
        request.back,
      )
      if (!purchase) return []
      if (request.kind !== 'retry') return [await buy(fleet, purchase, otherLines(purchase))]
      const tries = Array.from({ length: request.times }, () => buy(fleet, purchase, purchase.lines))
      return Promise.all(tries)
    }
    case 'cancel': {
      const purchase = recent(run.purchases.filter(orderIdOf), request.back)
      if (!purchase) return []
      const token = request.as === 'owner' ? purchase.customer.token : fleet.adminToken
      return [await changeStatus(run, orderIdOf(purchase) ?? '', 'cancelled', token, request.by)]
    }
    case 'cancel the newest': {
      const purchase = recent(run.purchases, request.back)
      if (!purchase) return []
      const { token } = purchase.customer
      const listed = await attempt(() => fleet.get('/orders?limit=1', { token }))
      if (listed.status !== 200 || !('body' in listed)) return [listed]
      const [order] = listed.body.data
      return order ? [await changeStatus(run, order.orderId, 'cancelled', token, 'DELETE')] : []
    }
    case 'ship':
    case 'deliver': {
      const purchase = recent(run.purchases.filter(acknowledgedOrder), request.back)
      if (!purchase) return []
      const to = request.kind === 'ship' ? 'shipped' : 'delivered'
      return [await changeStatus(run, orderIdOf(purchase) ?? '', to, fleet.adminToken, 'PUT')]
    }
    case 'restock': {
      const product = chosen(run.products, request.product)
      const restock: Restock = { product, key: randomUUID(), change: request.change, outcomes: [] }
      run.restocks.push(restock)
      const outcome = await attempt(() => putIn(fleet, restock))
      restock.outcomes.push(outcome)
      return [outcome]
    }
    case 'set price':
      return [await edit(run, chosen(run.products, request.product), () => ({ price: request.price }))]
    case 'set stock': {
      const { stock } = request
      const product = chosen(run.products, request.product)
      return [await edit(run, product, (seen) => ({ stock, moved: stock - seen }))]
    }
    case 'delete product': {
      const product = chosen(run.products, request.product)
      const { adminToken: token } = fleet
      // The product may be deleted before the answer arrives.
      const at = product.deletions.push({ status: 0, lost: 'under way' }) - 1
      const outcome = await attempt(() => fleet.delete(`/products/${product.productId}`, { token }))
      product.deletions[at] = outcome
      return [outcome]
    }
  }
}

async function buy(fleet: Fleet, purchase: Purchase, lines: Purchase['lines']): Promise<Outcome> {
  const outcome = await attempt(() => place(fleet, purchase, lines))
  purchase.requests.push({ lines, outcome })
  return outcome
}

async function changeStatus(
  { fleet, statusChanges }: Run,
  orderId: string,
  to: StatusChange['to'],
  token: string,
  method: 'PUT' | 'DELETE',
): Promise<Outcome> {
  const send = (): Promise<Answer> =>
    method === 'DELETE'
      ? fleet.delete(`/orders/${orderId}`, { token })
      : fleet.put(`/orders/${orderId}`, { token, body: { status: to } })
  const outcome = await attempt(send)
  statusChanges.push({ orderId, to, outcome })
  return outcome
}

/** Reads a product, and updates it with the version that was read. */
async function edit(
  { fleet, edits }: Run,
  product: Shelf,
  change: (stock: number) => { price: number } | { stock: number; moved: number },
): Promise<Outcome> {
  const read = await attempt(() => fleet.get(`/products/${product.productId}`))
  if (read.status !== 200 || !('body' in read)) return read
  const { version, stock } = read.body
  const { moved, ...fields } = { moved: undefined, ...change(stock) }
  const body = { ...fields, version }
  const { adminToken: token } = fleet
  const outcome = await attempt(() => fleet.put(`/products/${product.productId}`, { token, body }))
  const made: Edit = { product, version, outcome }
  if ('price' in fields) made.price = fields.price
  if (moved !== undefined) made.moved = moved
  edits.push(made)
  return outcome
}

function chosen<Choice>(choices: readonly Choice[], at: number): Choice {
  const choice = choices[at]
  if (choice === undefined) throw new Error(`there is no choice ${at} among ${choices.length}`)
  return choice
}

/** Chooses by counting back from the last choice, and starts again at the last one if there are too few. */
const recent = <Choice>(choices: readonly Choice[], back: number): Choice | undefined =>
  choices.at(-1 - (choices.length === 0 ? 0 : back % choices.length))

const alwaysAllowed = ['0 lost', '503 dependency_unavailable', '503 overloaded']
const ofPurchases = [
  '201 confirmed',
  '409 insufficient_stock',
  '409 request_in_progress',
  '409 invalid_transition',
  '422 unknown_product',
  '422 idempotency_key_reused',
]
const ofCancellations = ['200 cancelled', '202 cancelling', '409 invalid_transition', '404 order_not_found']
const ofUpdates = ['200', '409 version_conflict', '404 product_not_found']
const answers: Record<Request['kind'], string[]> = {
  buy: ofPurchases,
  retry: ofPurchases,
  'retry with another body': ofPurchases,
  cancel: ofCancellations,
  'cancel the newest': ofCancellations,
  ship: ['200 shipped', '409 invalid_transition'],
  deliver: ['200 delivered', '409 invalid_transition'],
  restock: ['200', '409 insufficient_stock', '404 product_not_found'],
  'set price': ofUpdates,
  'set stock': ofUpdates,
  'delete product': ['204', '404 product_not_found'],
}

const expected = ({ kind }: Request): string[] => [...alwaysAllowed, ...answers[kind]]

function count(tally: Tally, name: string, more = 1): void {
  tally.set(name, (tally.get(name) ?? 0) + more)
}

function tallyLinks({ services }: Fleet, tally: Tally): void {
  for (const { counts } of services.map(({ link }) => link)) {
    count(tally, 'requests lost', counts.requestsLost)
    count(tally, 'replies lost', counts.repliesLost)
    count(tally, 'requests doubled', counts.doubled)
    count(tally, 'requests delayed', counts.delayed)
  }
}

async function tallyOrders({ fleet, customers, tally }: Run): Promise<void> {
  const users = new Set(customers.map(({ userId }) => userId))
  const orders = (await fleet.collections('order')).collection('orders')
  for (const { userId, status, undo, confirmation } of await orders.find().toArray()) {
    if (!users.has(String(userId))) continue
    count(tally, `orders ${undo ? 'undone' : status}`)
    if (confirmation && status !== 'confirmed') count(tally, 'orders confirmed before')
  }
}

function report(shape: Shape, tally: Tally): void {
  console.log(`random operations, ${shape}`)
  for (const [name, times] of [...tally].sort()) console.log(`  ${name.padEnd(24)} ${times}`)
}
