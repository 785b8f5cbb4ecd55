import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** The answer to one request. */
export interface Answer {
  /** `performance.now()` when the request was sent. */
  sentAt: number
  ms: number
  /** 0 if the connection failed. */
  status: number
  code?: string | undefined
  orderId?: string | undefined
}

/** Customers, each of which sends its next request when it has the answer to the last one. */
export interface Load {
  answers: Answer[]
  /** Sends no more requests, and resolves once all have been answered. */
  stop(): Promise<void>
}

/** @param next the method, the path and the body of the next request */
export function startLoad(
  url: string,
  options: {
    clients: number
    token: string
    next: () => { method: string; path: string; body?: unknown }
  },
): Load {
  const { clients, token, next } = options
  const agent = new Agent({ keepAlive: true, maxSockets: clients })
  const answers: Answer[] = []
  let isStopping = false
  const runClient = async () => {
    while (!isStopping) {
      const { method, path, body } = next()
      const answer = await send(`${url}${path}`, { method, agent, token, body })
      answers.push(answer)
      // Nothing listens, so that the next request would fail within microseconds.
      if (answer.status === 0) await sleep(10)
    }
  }
  const running = Promise.all(Array.from({ length: clients }, runClient))
  return {
    answers,
    async stop() {
      isStopping = true
      await running
      agent.destroy()
    },
  }
}

/** Buys one piece of one of the products. */
export const purchaseOf = (productIds: readonly string[]) => {
  let nth = 0
  return () => {
    nth += 1
    const productId = productIds[nth % productIds.length]
    return { method: 'POST', path: '/orders', body: { productList: [{ productId, quantity: 1 }] } }
  }
}

function send(
  url: string,
  { method, agent, token, body }: { method: string; agent: Agent; token: string; body?: unknown },
): Promise<Answer> {
  const sentAt = performance.now()
  return new Promise((resolve) => {
    const finish = (status: number, received = '') =>
      resolve({
        sentAt,
        ms: performance.now() - sentAt,
        status,
        code: /"code":"(\w+)"/.exec(received)?.[1],
        orderId: /"orderId":"(\w+)"/.exec(received)?.[1],
      })
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers = {
      authorization: `Bearer ${token}`,
      ...(text !== undefined && {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
      }),
    }
    const sent = request(url, { method, agent, headers }, (answer) => {
      let received = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        received += chunk
      })
      answer.once('error', () => finish(0))
      answer.once('end', () => finish(answer.statusCode ?? 0, received))
    })
    sent.once('error', () => finish(0))
    sent.end(text)
  })
}

/** The value below which `share` of the sorted or unsorted values are, or 0 without values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
