import { inject } from 'vitest'

/** The URI of the run's MongoDB. The import of this file waits until MongoDB has started. */
export const mongodbUri = await uriOnceStarted()

async function uriOnceStarted(): Promise<string> {
  const answer = await fetch(inject('mongodbStart'))
  const text = await answer.text()
  if (!answer.ok) throw new Error(`the MongoDB of the tests has not started: ${text}`)
  return text
}
