import { type ProductPort, productPort } from '#src/modules/product/contract.ts'
import { checkedPort } from './checked-port.ts'
import { type Shop, startShop } from './shop.ts'

/** A shop in which a test decides what goes wrong between order and product. */
export interface InterferedShop extends Shop {
  /** Replaces what the order module calls; without an argument it is the product module again. */
  interfere(interference?: (port: ProductPort) => Partial<ProductPort>): void
  /** As if the lease of an unfinished order had ended so long ago. */
  ageLease(orderId: string, milliseconds: number): Promise<void>
}

export async function startInterferedShop(environment: Record<string, string> = {}): Promise<InterferedShop> {
  let interference: (port: ProductPort) => Partial<ProductPort> = () => ({})
  const shop = await startShop({
    environment,
    wrapPort(port, implementation) {
      const checked = checkedPort(port, implementation)
      if (port.name !== productPort.name) return checked
      const product = checked as ProductPort
      return {
        ...product,
        reserve: (request, call) => ({ ...product, ...interference(product) }).reserve(request, call),
        release: (request, call) => ({ ...product, ...interference(product) }).release(request, call),
      } satisfies ProductPort
    },
  })
  return {
    ...shop,
    interfere(replacement = () => ({})) {
      interference = replacement
    },
    async ageLease(orderId, milliseconds) {
      const orders = (await shop.collections('order')).collection('orders')
      const leaseUntil = new Date(Date.now() - milliseconds)
      const filter = { $expr: { $eq: [{ $toString: '$_id' }, orderId] } }
      const { modifiedCount } = await orders.updateOne(filter, { $set: { leaseUntil } })
      if (modifiedCount !== 1) throw new Error(`there is no order ${orderId} to age`)
    },
  }
}
