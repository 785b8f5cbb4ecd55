import type { Call } from './call.ts'

/**
 * Keeps one queue for each key. A queue exists while requests wait in it.
 * @param create creates the function that adds a request to a new queue
 */
export function createKeyedQueues<Request, Result>(
  create: () => (request: Request, call: Call) => Promise<Result>,
) {
  const queues = new Map<string, { submit: ReturnType<typeof create>; unanswered: number }>()
  return {
    has: (key: string): boolean => queues.has(key),
    async submit(key: string, request: Request, call: Call): Promise<Result> {
      const queue = queues.get(key) ?? { submit: create(), unanswered: 0 }
      queues.set(key, queue)
      queue.unanswered += 1
      try {
        return await queue.submit(request, call)
      } finally {
        queue.unanswered -= 1
        if (queue.unanswered === 0) queues.delete(key)
      }
    },
  }
}
