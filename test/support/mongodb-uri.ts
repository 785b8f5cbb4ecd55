import { get } from 'node:http'
import { text } from 'node:stream/consumers'
import { inject } from 'vitest'

/** The URI of the run's MongoDB. The import of this file waits until MongoDB has started. */
export const mongodbUri = await uriOnceStarted()

// `fetch` would give up after five minutes, and the first run downloads MongoDB.
function uriOnceStarted(): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(inject('mongodbStart'), async (answer) => {
      const body = await text(answer)
      if (answer.statusCode === 200) resolve(body)
      else reject(new Error(`the MongoDB of the tests has not started: ${body}`))
    })
    request.once('error', reject)
  })
}
