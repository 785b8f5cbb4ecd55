// This file is preloaded into a service with `--import`. It counts the steps of one request, which are the commands to the
// database and the calls of other services, and kills its own process before or after one of them. The program itself does
// not know this file.
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import type { IncomingMessage } from 'node:http'
import mongoose from 'mongoose'

/** The message of a test: the request to watch, and optionally the step at which to kill the process. */
export interface Arming {
  /** The `X-Request-Id` of the request, which the services pass on to each other. */
  requestId: string
  /** The number of the step, from 1. Without it, the steps are only counted. */
  at?: number
  /** `before` the step's message is sent, or `after` its answer has arrived. */
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

// Each step is attributed to the request that caused it. So steps of the sweeper, of health checks and of other requests do
// not count.
const requests = new AsyncLocalStorage<string | undefined>()
subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage }
  requests.enterWith(request.headers['x-request-id']?.toString())
})

const die = () => process.kill(process.pid, 'SIGKILL')

/** @returns the step's number, or undefined if the step does not belong to the watched request */
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

// These commands are no steps of a request. A connection sends most of them by itself, also if a request was the first to need
// the connection. `aggregate` and `killSessions` look for stalled transactions, which a request does only if it happens
// to wait; requests use `aggregate` for nothing else.
const ignoredCommands = new Set([
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
  // The driver reads this field whenever it opens a connection; the field is not in the driver's types.
  Object.assign(this, { monitorCommands: true })
  this.on('commandStarted', ({ requestId, commandName, command }) => {
    if (ignoredCommands.has(commandName)) return
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
