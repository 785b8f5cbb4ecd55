import { expect, it } from 'vitest'
import { createCall } from './call.ts'
import { coalesceReads } from './coalesced-reads.ts'

const turnOfEventLoop = () => new Promise((resolve) => setImmediate(resolve))

it('equal requests share one read that starts after all of them, and other keys have their own reads', async () => {
  const reads: { key: string; end(): void }[] = []
  const submit = coalesceReads<string, string>(
    { name: 'the list', maxWaiting: 10, keyOf: (key) => key },
    (key) =>
      new Promise((resolve) => {
        reads.push({ key, end: () => resolve(`${key}, read no. ${reads.length}`) })
      }),
  )
  const call = createCall(10_000, 'request-1')
  const submitted = ['a', 'a', 'b'].map((key) => submit(key, call))
  await turnOfEventLoop()
  expect(reads.map(({ key }) => key)).toEqual(['a', 'b'])
  const later = submit('a', call)
  await turnOfEventLoop()
  expect(reads.map(({ key }) => key)).toEqual(['a', 'b', 'a'])
  // The first two reads still hang, and delay only the requests that share them.
  reads[2]?.end()
  expect(await later).toBe('a, read no. 3')
  for (const { end } of reads) end()
  const [first, second] = await Promise.all(submitted)
  expect(first).toBe(second)
})
