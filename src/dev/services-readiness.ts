import { z } from 'zod'
import type { Readiness } from '../http/health-routes.ts'
import { forward } from './forward.ts'

// It is longer than the second that a service's /readyz takes while MongoDB does not answer.
const timeoutMs = 1_500

const answerOfService = z.object({
  missing: z.array(z.string()).default([]),
  unavailable: z.array(z.string()).default([]),
})

/**
 * The gateway is ready when every service is.
 * @param urls the URL of each service, by name
 */
export const servicesReadiness = (urls: Readonly<Record<string, string>>): Readiness => ({
  started: () => ({ missing: [] }),

  async ready() {
    const services = await Promise.all(Object.entries(urls).map(([name, url]) => readinessOf(name, url)))
    return {
      missing: services.flatMap(({ missing }) => missing),
      unavailable: [...new Set(services.flatMap(({ unavailable }) => unavailable))],
    }
  },
})

/** A service that is not ready names what it lacks. A service without an answer is missing itself. */
async function readinessOf(name: string, url: string): Promise<z.infer<typeof answerOfService>> {
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const answer = await forward(`${url}/readyz`, {
      method: 'GET',
      headers: new Headers(),
      body: null,
      signal,
    })
    const { missing, unavailable } = answerOfService.parse(await answer.json())
    if (answer.status === 200) return { missing: [], unavailable }
    return { missing: [name, ...missing], unavailable }
  } catch {
    return { missing: [name], unavailable: [] }
  }
}
