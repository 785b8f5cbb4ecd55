import { type Shape, shapes } from '#test/support/processes.ts'

export const bothShapes = Object.keys(shapes) as Shape[]

/**
 * Runs a campaign in both shapes at the same time. If one campaign fails, the function still waits for the other one, so that
 * no request is in flight when the test ends the processes.
 */
export async function runInBothShapes<Result>(
  campaign: (shape: Shape) => Promise<Result>,
): Promise<Map<Shape, Result>> {
  const outcomes = await Promise.allSettled(
    bothShapes.map(async (shape) => [shape, await campaign(shape)] as const),
  )
  return new Map(
    outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason
      return outcome.value
    }),
  )
}
