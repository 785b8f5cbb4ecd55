// This file is preloaded into a service with `--import`. It counts the steps of one request, which are the commands to the
// database and the calls of other services, and kills its own process before or after one of them. The program itself does
// not import this file.
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import type { IncomingMessage } from 'node:http'
import mongoose from 'mongoose'

/** The request to watch, and optionally the step at which to kill the process. Without it, the steps are only counted. */
export interface Watch {
  /** The `X-Request-Id` of the request, which the services pass on to each other. */
  requestId: string
  killAt?: {
    /** The number of the step, from 1. */
    step: number
    /** `before` the step's message is sent, or `after` its answer has arrived. */
    when: 'before' | 'after'
  }
}

/** A message from a test to this process. */
export type Message = { watch: Watch | null } | { report: true }

let watch: Watch | null = null
let steps: string[] = []

process.on('message', (message: Message) => {
  if ('watch' in message) {
    watch = message.watch
    steps = []
    process.send?.({ received: true })
  } else if ('report' in message) {
    process.send?.({ steps })
  }
})

// Each step is attributed to the request that caused it. So steps of the sweeper, of health checks and of other requests do
// not count.
const requests = new AsyncLocalStorage<string | undefined>()
subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage }
  requests.enterWith(request.headers['x-request-id']?.toString())
})

const killProcess = () => process.kill(process.pid, 'SIGKILL')

/** @returns the step's number, or undefined if the step does not belong to the watched request */
function beginStep(step: string): number | undefined {
  if (watch === null || requests.getStore() !== watch.requestId) return undefined
  const number = steps.push(step)
  if (number === watch.killAt?.step && watch.killAt.when === 'before') killProcess()
  return number
}

function endStep(number: number | undefined): void {
  if (number !== undefined && number === watch?.killAt?.step && watch.killAt.when === 'after') killProcess()
}

const { fetch } = globalThis
globalThis.fetch = async (input, init) => {
  const url = new URL(input instanceof Request ? input.url : input)
  const step = beginStep(`${init?.method ?? 'GET'} ${url.pathname}`)
  const response = await fetch(input, init)
  endStep(step)
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
    const step = beginStep(`${commandName}${collection}`)
    if (step !== undefined) running.set(requestId, step)
  })
  for (const event of ['commandSucceeded', 'commandFailed'] as const) {
    this.on(event, ({ requestId }: { requestId: number }) => {
      const step = running.get(requestId)
      running.delete(requestId)
      endStep(step)
    })
  }
  return connect.call(this)
}
