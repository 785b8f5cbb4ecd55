import type { HttpClient } from '../../kernel/http-client.ts'
import { portClient, portRoutes } from '../../kernel/port-http.ts'
import { type ProductPort, productPort } from './contract.ts'

/** The port over HTTP: the server's side, and the client's. */
export const productInternalRoutes = (implementation: ProductPort) => portRoutes(productPort, implementation)
export const connectProduct = (http: HttpClient): ProductPort => portClient(productPort, http)
