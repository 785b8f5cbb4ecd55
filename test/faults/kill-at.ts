// Preloaded into a service (`--import`): watches the steps of one request, the commands to the database and the calls
// of other services, and kills its own process before or after one of them. The product knows nothing of it.
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import type { IncomingMessage } from 'node:http'
import mongoose from 'mongoose'

/** What the test sends: the steps of which request are counted, and, to kill, at which of them. */
export interface Arming {
  /** `X-Request-Id`, which also goes along from service to service. */
  requestId: string
  /** From 1; left out, the steps are only counted. */
  at?: number
  /** Before its message is on the wire, or after its answer has arrived. */
  when?: 'before' | 'after'
}

let arming: Arming | undefined
let steps: string[] = []

process.on('message', (message: { arm?: Arming; report?: true }) => {
  if (message.arm) {
    arming = message.arm
    steps = []
    process.send?.({ armed: true })
  }
  if (message.report) process.send?.({ steps })
})

// Told by the request that caused it, a step is never one of the sweeper, the health checks or another request.
const requests = new AsyncLocalStorage<string | undefined>()
subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage }
  requests.enterWith(request.headers['x-request-id']?.toString())
})

const die = () => process.kill(process.pid, 'SIGKILL')

/** @returns the step's number, undefined if it is not one of the watched request */
function begin(step: string): number | undefined {
  if (arming === undefined || requests.getStore() !== arming.requestId) return undefined
  const number = steps.push(step)
  if (number === arming.at && arming.when === 'before') die()
  return number
}

function end(step: number | undefined): void {
  if (step !== undefined && step === arming?.at && arming.when === 'after') die()
}

const { fetch } = globalThis
globalThis.fetch = async (input, init) => {
  const url = new URL(input instanceof Request ? input.url : input)
  const step = begin(`${init?.method ?? 'GET'} ${url.pathname}`)
  const response = await fetch(input, init)
  end(step)
  return response
}

// What a connection does for itself, also when a request was the first to need it; and the look for transactions that
// nobody goes on with, which a request takes only where it happens to wait. No request aggregates anything.
const ownCommands = new Set([
  'hello',
  'ismaster',
  'isMaster',
  'ping',
  'endSessions',
  'saslStart',
  'saslContinue',
  'aggregate',
  'killSessions',
])
const running = new Map<number, number>()
const { MongoClient } = mongoose.mongo
const { connect } = MongoClient.prototype
MongoClient.prototype.connect = function (this: InstanceType<typeof MongoClient>) {
  // Read whenever a connection is made; its type does not show it.
  Object.assign(this, { monitorCommands: true })
  this.on('commandStarted', ({ requestId, commandName, command }) => {
    if (ownCommands.has(commandName)) return
    const collection = typeof command[commandName] === 'string' ? ` ${command[commandName]}` : ''
    const step = begin(`${commandName}${collection}`)
    if (step !== undefined) running.set(requestId, step)
  })
  for (const event of ['commandSucceeded', 'commandFailed'] as const) {
    this.on(event, ({ requestId }: { requestId: number }) => {
      const step = running.get(requestId)
      running.delete(requestId)
      end(step)
    })
  }
  return connect.call(this)
}
