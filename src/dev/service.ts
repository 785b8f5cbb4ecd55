import { setTimeout as sleep } from 'node:timers/promises'
import { StartFailure } from '#kernel/config/config-error.ts'
import type { Logger } from '#kernel/logger.ts'
import type { BannerFact } from '#kernel/module.ts'
import type { ProgramProcess } from './program-process.ts'

/** A process that hosts one module, and is started again when it exits. */
export interface Service {
  name: string
  /**
   * Resolves once the first process is ready, with its lines for the banner. Rejects with a StartFailure if that process ends
   * before it is ready.
   */
  ready: Promise<readonly BannerFact[]>
  pid(): number | undefined
  stop(): Promise<void>
}

const restartDelayMs = 500

/** @param start starts a process of the service */
export function startService(name: string, start: () => ProgramProcess, logger: Logger): Service {
  const stopping = new AbortController()
  const { signal } = stopping
  let current = start()
  const first = current
  const failed = first.ended.then((end) => {
    throw new StartFailure(`${name} ended with ${end} before it was ready: see its own message above`)
  })
  const ready = Promise.race([first.ready, failed]).then(() =>
    Promise.race([first.facts, first.ended.then(() => [])]),
  )

  const restartOnExit = async () => {
    for (;;) {
      const end = await current.ended
      if (signal.aborted) return
      logger.warn({ module: name, end }, 'service exited, restarting')
      await sleep(restartDelayMs, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return
      const next = start()
      void next.ready.then(() => logger.warn({ module: name, pid: next.pid }, 'service restarted'))
      current = next
    }
  }
  const supervised = ready.then(restartOnExit, () => undefined)

  return {
    name,
    ready,
    pid: () => current.pid,
    async stop() {
      stopping.abort()
      await current.stop()
      await supervised
    },
  }
}
