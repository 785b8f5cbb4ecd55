import type { Logger } from '#kernel/logger.ts'
import type { HttpClient } from '#kernel/ports/http-client.ts'
import type { Offer } from '#kernel/ports/port.ts'
import { portClient, portRoutes } from '#kernel/ports/port-http.ts'
import { type ProductPort, productPort } from './contract.ts'

/** The server of the port over HTTP, and its client. */
export const productInternalRoutes = (implementation: ProductPort, logger: Logger) =>
  portRoutes(productPort, implementation, logger)
export const connectProduct = (http: HttpClient): Offer<ProductPort> =>
  portClient(productPort, http, { operation: 'holds', request: { limit: 1 } })
