import type { IncomingMessage } from 'node:http'
import { type ConcurrencyLimitOptions, createConcurrencyLimit } from './concurrency-limit.ts'

/**
 * The places of the requests that are in progress.
 * @param onFree is called when a request has given its place back
 */
export function createPlaces(options: ConcurrencyLimitOptions, onFree: () => void) {
  const limit = createConcurrencyLimit(options)
  let taken = 0
  let arriving = 0

  const giveBack = () => {
    taken -= 1
    onFree()
  }

  return {
    isFreeFor: ({ method }: IncomingMessage) =>
      taken < limit.current() && (method === 'GET' || arriving < options.max),
    taken: () => taken,
    limit: () => Math.floor(limit.current()),

    /**
     * Takes a place for a request. The request has none while its body arrives: otherwise slow uploads could take all places. When
     * its body is complete it takes one even if none is free, because the application has already begun with it. No more
     * requests may be arriving than there may be places.
     * @returns a function that gives the place back, and is told whether the request was carried out
     */
    take(request: IncomingMessage): (isCarriedOut: boolean) => void {
      taken += 1
      let hasPlace = true
      let isOver = false
      let beganAt = performance.now()
      const leaveUntilBodyIsComplete = () => {
        if (request.complete || isOver) return
        hasPlace = false
        arriving += 1
        giveBack()
        request.once('end', () => {
          if (isOver) return
          hasPlace = true
          arriving -= 1
          taken += 1
          beganAt = performance.now()
        })
      }
      // By then, what arrived together with the head has been parsed.
      if (request.method !== 'GET') process.nextTick(leaveUntilBodyIsComplete)
      return (isCarriedOut) => {
        isOver = true
        if (!hasPlace) {
          arriving -= 1
          onFree()
          return
        }
        const durationMs = performance.now() - beganAt
        // A quick refusal tells nothing about the time that other requests take.
        if (isCarriedOut || durationMs > options.targetMs) limit.count(durationMs, taken)
        giveBack()
      }
    },
  }
}
