import { authGuard } from '../../kernel/auth-guard.ts'
import { defineModule } from '../../kernel/module.ts'
import { authPort } from '../auth/contract.ts'
import { productPort } from '../product/contract.ts'
import { orderApi } from './order.api.ts'
import { createOrderRepository, orderMigrations } from './order.repository.ts'
import { orderRoutes } from './order.routes.ts'
import { createOrderService } from './order.service.ts'

export const order = defineModule({
  name: 'order',
  api: orderApi,
  migrations: orderMigrations,
  needs: { auth: authPort, product: productPort },
  start({ database, needs, config, logger }) {
    const orders = createOrderRepository(database)
    const service = createOrderService({ orders, product: needs.product })
    const guard = authGuard({ keys: needs.auth.publicKeys, issuer: config.issuer, logger })
    return { routes: orderRoutes(service, guard) }
  },
})
