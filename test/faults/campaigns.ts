import { type Shape, shapes } from '#test/support/processes.ts'

export const bothShapes = Object.keys(shapes) as Shape[]

/**
 * Runs a campaign in both shapes, side by side. If one fails, the other is waited for all the same: nothing is to be
 * under way any more when their processes are ended.
 */
export async function inBothShapes<Result>(
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
