import { expect } from 'vitest'
import { problems } from './problems.ts'
import { type Deployment, deploy, type Shape, shapes } from './processes.ts'
import { type RawAnswer, sendRaw } from './raw-http.ts'

export const bothShapes = Object.keys(shapes) as Shape[]

export const headerOf = (answer: RawAnswer, name: string) =>
  answer.headers.find(([each]) => each === name)?.[1] ?? null

/** The parts of an answer that are the same whenever the same request is repeated. */
export const comparable = ({ status, headers, body }: RawAnswer) => ({
  status,
  headers: headers.filter(([name]) => !['date', 'keep-alive', 'x-request-id'].includes(name)).sort(),
  body: body.replace(/"requestId":"[^"]+"/, ''),
})

export function expectProblem(answer: RawAnswer, status: number, code: string, label: string): void {
  expect(answer.status, label).toBe(status)
  expect(headerOf(answer, 'content-type'), label).toBe('application/problem+json')
  const requestId = headerOf(answer, 'x-request-id')
  expect(requestId, label).toMatch(/^[\w.-]{1,128}$/)
  expect(headerOf(answer, 'cache-control'), label).toBe('no-store')
  if (answer.body === '') return
  const { title, retryable = false } = problems[code] ?? {}
  const described = { type: `/problems/${code}`, title, status, code, retryable, requestId }
  expect(JSON.parse(answer.body), label).toMatchObject({ ...described, detail: expect.any(String) })
}

/** Starts real processes in both shapes. */
export async function deployBothShapes(settings: Record<string, string>) {
  const [alone, split] = await Promise.all(
    (['one process', 'split'] as const).map((shape) => deploy(shape, settings)),
  )
  const deployments = { 'one process': alone as Deployment, split: split as Deployment }
  return {
    deployments,

    /** Sends the bytes to both shapes, expects the same answer, and returns it. */
    async askBoth(text: string): Promise<RawAnswer> {
      const [first, second] = await Promise.all(
        bothShapes.map((shape) => sendRaw(deployments[shape].url, text)),
      )
      expect(comparable(second as RawAnswer), text.slice(0, 80)).toEqual(comparable(first as RawAnswer))
      return first as RawAnswer
    },

    async stop() {
      const exitCodes = await Promise.all(Object.values(deployments).map((shop) => shop.stop()))
      expect(exitCodes).toEqual([0, 0])
    },
  }
}
