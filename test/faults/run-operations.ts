import { setTimeout as sleep } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import { findUnbalancedBooks } from '#test/support/unbalanced-books.ts'
import { findContradictions } from './contradictions.ts'
import type { Delivery } from './faulty-proxy.ts'
import type { Fleet } from './fleet.ts'
import type { Service } from './fleet-service.ts'
import { type History, startHistory } from './history.ts'
import {
  customerCount,
  describeOperation,
  type Operation,
  type ProcessFault,
  productCount,
  type Request,
} from './operations.ts'
import { codeOf, isUnknown, type Outcome } from './outcomes.ts'
import { possibleAnswers, sendRandomRequest } from './send-random-request.ts'
import { waitUntilSettled } from './wait-until-settled.ts'

const initialStock = 12
const quietTimeoutMs = 60_000

/** Counts of events in all runs, by name. */
export type Counts = Map<string, number>

export function count(counts: Counts, name: string, more = 1): void {
  counts.set(name, (counts.get(name) ?? 0) + more)
}

/** The state of one run. */
interface Run {
  fleet: Fleet
  history: History
  counts: Counts
  operationNumber: number
  /** The dead or frozen services, and the number of the operation after which each recovers. */
  failedServices: Map<Service, { isDead: boolean; until: number; recover(): Promise<void> }>
  /** How the network delivers the next requests. */
  deliveries: Record<'services' | 'clients', Delivery[]>
  /** Complaints about answers that a request of this kind must never get. */
  unexpectedAnswers: string[]
}

/**
 * Performs the operations one after the other, heals all faults, and compares the history with the stored state.
 * @returns the operations with their outcomes, and the contradictions
 */
export async function runOperations(
  fleet: Fleet,
  operations: readonly Operation[],
  counts: Counts,
): Promise<{ log: string[]; contradictions: string[] }> {
  const log: string[] = []
  try {
    const run = await startRun(fleet, counts)
    const startedAt = Date.now()
    for (const [number, operation] of operations.entries()) {
      run.operationNumber = number
      const sinceMs = Date.now() - startedAt
      const outcome = await perform(run, operation)
      log.push(`  ${number}. (${sinceMs} ms) ${describeOperation(operation)} → ${outcome}`)
      await recoverServices(run, ({ until }) => until <= number)
    }
    await recoverServices(run, () => true)
    for (const { proxy } of fleet.services) proxy.injectFaults()
    return { log, contradictions: [...run.unexpectedAnswers, ...(await checkStoredState(run, Date.now()))] }
  } catch (error) {
    // An error counts as a contradiction, and is reported together with the operations before it.
    return { log, contradictions: [error instanceof Error ? (error.stack ?? error.message) : String(error)] }
  }
}

/** Creates the customers and products of one run, while all services are healthy. */
async function startRun(fleet: Fleet, counts: Counts): Promise<Run> {
  const run: Run = {
    fleet,
    history: await startHistory(fleet, {
      customers: customerCount,
      products: productCount,
      stock: initialStock,
    }),
    counts,
    operationNumber: 0,
    failedServices: new Map(),
    deliveries: { services: [], clients: [] },
    unexpectedAnswers: [],
  }
  for (const { proxy } of fleet.services) proxy.injectFaults((path) => nextDelivery(run, path))
  count(counts, 'runs')
  return run
}

function nextDelivery({ deliveries, history }: Run, path: string): Delivery {
  if (path.startsWith('/internal')) return deliveries.services.shift() ?? {}
  if (!/^\/(orders|products)/.test(path)) return {}
  const { times, ...rest } = deliveries.clients.shift() ?? {}
  // These requests have no key. The answer to the second arrival would hide the effect of the first one, so they arrive once.
  if (times === 2 && /^\/products\/[0-9a-f]{24}$/.test(path)) return rest
  if (times === 2) history.requestsDuplicated++
  return times === undefined ? rest : { ...rest, times }
}

async function recoverServices(run: Run, isDue: (failed: { until: number }) => boolean): Promise<void> {
  for (const [service, failed] of run.failedServices) {
    if (!isDue(failed)) continue
    run.failedServices.delete(service)
    await failed.recover()
  }
}

/** Waits until no request is in flight and no order is unfinished. @returns the contradictions */
async function checkStoredState({ fleet, history, counts }: Run, healedAt: number): Promise<string[]> {
  const inFlight = () => fleet.services.map(({ proxy }) => proxy.inFlight())
  const none = fleet.services.map(() => 0)
  await vi.waitFor(() => expect(inFlight()).toEqual(none), { timeout: quietTimeoutMs })
  const settledAfterMs = await waitUntilSettled(fleet, healedAt)
  const longest = 'longest time to settle (ms)'
  counts.set(longest, Math.max(settledAfterMs, counts.get(longest) ?? 0))
  const contradictions = await findContradictions(history, fleet)
  const unbalanced = await findUnbalancedBooks(fleet)
  const { code, report } = await fleet.audit()
  await countOrders(fleet, history, counts)
  count(counts, code === 0 ? 'audits without findings' : 'audits with findings')
  return [
    ...contradictions,
    ...unbalanced.map((fault) => `books: ${fault}`),
    ...report.findings.map((finding) => `audit: ${JSON.stringify(finding)}`),
    ...(code === 0 || report.findings.length > 0 ? [] : [`audit: exit code ${code}`]),
  ]
}

async function countOrders(fleet: Fleet, { customers }: History, counts: Counts): Promise<void> {
  const users = new Set(customers.map(({ userId }) => userId))
  const orders = (await fleet.collections('order')).collection('orders')
  for (const { userId, status, undo, confirmation } of await orders.find().toArray()) {
    if (!users.has(String(userId))) continue
    count(counts, `orders ${undo ? 'undone' : status}`)
    if (confirmation && status !== 'confirmed') count(counts, 'orders confirmed earlier')
  }
}

/** @returns a description of the outcome, for the log */
async function perform(run: Run, operation: Operation): Promise<string> {
  switch (operation.kind) {
    case 'wait':
      await sleep(operation.waitMs)
      count(run.counts, operation.kind)
      return 'done'
    case 'network fault':
      run.deliveries[run.fleet.shape === 'split' ? operation.between : 'clients'] = [...operation.deliveries]
      count(run.counts, operation.kind)
      return 'from now on'
    case 'kill':
    case 'freeze':
      return injectProcessFault(run, operation)
    case 'at once': {
      count(run.counts, operation.kind)
      const outcomes = await Promise.all(
        operation.parts.map(async ({ afterMs, operation }) => {
          await sleep(afterMs)
          return perform(run, operation)
        }),
      )
      return outcomes.join('; ')
    }
    default:
      return sendAndCheck(run, operation)
  }
}

async function injectProcessFault(
  run: Run,
  { kind, service: name, operations }: ProcessFault,
): Promise<string> {
  const service = run.fleet.service(name)
  const failed = run.failedServices.get(service)
  // A frozen process can still be killed.
  if (failed && (kind === 'freeze' || failed.isDead)) return `${service.name} has failed already`
  count(run.counts, kind)
  const until = run.operationNumber + operations
  if (kind === 'freeze') {
    service.freeze()
    run.failedServices.set(service, { isDead: false, until, recover: async () => service.thaw() })
    return 'frozen'
  }
  const killed = service.kill()
  const recover = () => killed.then(() => service.start())
  run.failedServices.set(service, { isDead: true, until, recover })
  await killed
  if (operations > 0) return 'dead'
  await recover()
  run.failedServices.delete(service)
  return 'restarted'
}

async function sendAndCheck(run: Run, request: Request): Promise<string> {
  const { fleet, history, counts, operationNumber } = run
  const outcomes = await sendRandomRequest({ shop: fleet, history, operationNumber }, request)
  count(counts, outcomes.length === 0 ? 'nothing to send' : request.kind)
  for (const outcome of outcomes) {
    const answer = describeOutcome(outcome)
    count(counts, isUnknown(outcome) ? 'without an outcome' : 'with an outcome')
    if (!possibleAnswers(request).includes(answer)) {
      run.unexpectedAnswers.push(`${describeOperation(request)} was answered ${answer}`)
    }
  }
  return outcomes.map(describeWithOrderId).join(', ') || 'nothing to send'
}

const describeOutcome = (outcome: Outcome): string => `${outcome.status} ${codeOf(outcome)}`.trim()

function describeWithOrderId(outcome: Outcome): string {
  const orderId = 'body' in outcome ? outcome.body?.orderId : undefined
  return orderId === undefined ? describeOutcome(outcome) : `${describeOutcome(outcome)} (${orderId})`
}
