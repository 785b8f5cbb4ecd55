import { type ProductPort, productPort } from '#src/modules/product/contract.ts'
import { checkedPort } from './checked-port.ts'
import { type Shop, startShop } from './shop.ts'

/** A shop in which a test replaces operations of the product port that the order module calls. */
export interface ShopWithProductStub extends Shop {
  /** Replaces operations of the port. Without an argument, the product module answers again. */
  stubProduct(replace?: (port: ProductPort) => Partial<ProductPort>): void
  /** Sets the end of an order's lease to this many milliseconds ago. */
  ageLease(orderId: string, milliseconds: number): Promise<void>
  /** Makes a hold this much older, and lets the sweeper of holds begin again with the oldest hold. */
  ageHold(orderId: string, milliseconds: number): Promise<void>
}

export async function startShopWithProductStub(
  environment: Record<string, string> = {},
): Promise<ShopWithProductStub> {
  let replace: (port: ProductPort) => Partial<ProductPort> = () => ({})
  const shop = await startShop({
    environment,
    wrapPort(port, implementation) {
      const checked = checkedPort(port, implementation)
      if (port.name !== productPort.name) return checked
      const product = checked as ProductPort
      return {
        ...product,
        reserve: (request, call) => ({ ...product, ...replace(product) }).reserve(request, call),
        release: (request, call) => ({ ...product, ...replace(product) }).release(request, call),
        reservations: (request, call) => ({ ...product, ...replace(product) }).reservations(request, call),
        holdsByTime: (request, call) => ({ ...product, ...replace(product) }).holdsByTime(request, call),
      } satisfies ProductPort
    },
  })
  return {
    ...shop,
    stubProduct(replacement = () => ({})) {
      replace = replacement
    },
    async ageLease(orderId, milliseconds) {
      const orders = (await shop.collections('order')).collection('orders')
      const leaseUntil = new Date(Date.now() - milliseconds)
      const filter = { $expr: { $eq: [{ $toString: '$_id' }, orderId] } }
      const { modifiedCount } = await orders.updateOne(filter, { $set: { leaseUntil } })
      if (modifiedCount !== 1) throw new Error(`there is no order ${orderId} to age`)
    },
    async ageHold(orderId, milliseconds) {
      const reservations = (await shop.collections('product')).collection('reservations')
      const older = [{ $set: { createdAt: { $subtract: ['$createdAt', milliseconds] } } }]
      const filter = { state: 'held', $expr: { $eq: [{ $toString: '$_id' }, orderId] } }
      const { modifiedCount } = await reservations.updateOne(filter, older)
      if (modifiedCount !== 1) throw new Error(`there is no hold ${orderId} to age`)
      await restartHoldSweeps(shop)
    },
  }
}

/** Lets the sweeper of holds begin again with the oldest hold. A round that is in progress may undo this. */
export async function restartHoldSweeps({ collections }: Pick<Shop, 'collections'>): Promise<void> {
  const sweeps = (await collections('order')).collection('holdSweeps')
  await sweeps.updateMany({}, { $set: { heldAt: new Date(0) } })
}
