import type { Transition } from './model-checker.ts'
import type { Shop } from './order-state.ts'
import { cancellingSteps, shippingSteps } from './owner-steps.ts'
import { expirySteps, releasingSteps, reservingSteps } from './product-steps.ts'
import { requestSteps } from './request-steps.ts'
import { createSlot, type SlotOptions } from './slot.ts'
import { holdSteps, sweeperSteps } from './sweeper-steps.ts'

/** Lists the steps that processes can take for one order id, and those of them that remain after a crash of all requests. */
export function stepsOfOrder(options: SlotOptions): {
  steps: Transition<Shop>[]
  recovery: Transition<Shop>[]
} {
  const slot = createSlot(options)
  const ofUnfinished = [...releasingSteps(slot), ...sweeperSteps(slot)]
  return {
    steps: [
      ...requestSteps(slot),
      ...reservingSteps(slot),
      ...cancellingSteps(slot),
      ...(options.configuration.shipping ? shippingSteps(slot) : []),
      ...(options.expires ? expirySteps(slot) : []),
      ...ofUnfinished,
      ...holdSteps(slot, () => true),
    ],
    recovery: [...ofUnfinished, ...holdSteps(slot, ({ holdWasSeen }) => !holdWasSeen)],
  }
}
