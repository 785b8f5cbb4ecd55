import { expect, test } from 'vitest'
import { dataFilesOf } from './data-files.ts'
import { waitForEnd } from './shared-mongod.ts'

test('a process that is closed while it restarts mongod does not wait for the end of mongod', async () => {
  const started = {
    uri: 'mongodb://localhost',
    pid: 0,
    ended: new Promise<number>(() => {}),
    stop: async () => {},
  }
  const running = { uri: started.uri, owner: process.pid, started }
  await expect(waitForEnd(running, dataFilesOf('.'), AbortSignal.abort())).resolves.toBe('')
}, 2_000)
