import { authGuard } from '#kernel/http/auth-guard.ts'
import { defineModule } from '#kernel/module.ts'
import { retentionSettings, setRetention } from '#kernel/mongo/retention.ts'
import { authPort } from '../auth/contract.ts'
import { productPort } from '../product/contract.ts'
import { auditOrders } from './audit-orders.ts'
import { createHoldSweeps } from './hold-sweep.repository.ts'
import { orderMigrations } from './migrations.ts'
import { orderApi } from './order.api.ts'
import { createOrderRepository } from './order.repository.ts'
import { orderRoutes } from './order.routes.ts'
import { createOrderService } from './order.service.ts'
import { createOrderFeed, feedLagMs } from './order-feed.repository.ts'
import { createOrderScans } from './order-scans.repository.ts'
import { orderProblems } from './problems.ts'
import { sweepHolds } from './sweep-holds.ts'
import { sweepUnfinishedOrders } from './sweep-unfinished-orders.ts'

export const order = defineModule({
  name: 'order',
  api: orderApi,
  // These requests finish orders. While a cancellation is refused, stock stays reserved that is no longer wanted.
  alwaysAdmitted: [orderApi.cancelOrder, orderApi.updateOrder, orderApi.patchOrder],
  problems: orderProblems,
  migrations: orderMigrations,
  settings: () => retentionSettings,
  needs: { auth: authPort, product: productPort },
  start({ database, needs, refusals, settings, config, logger, metrics }) {
    const { currency, requestTimeoutMs } = config
    const orders = createOrderRepository(database, logger)
    const feed = createOrderFeed(database, logger, { lagMs: feedLagMs(requestTimeoutMs) })
    const scans = createOrderScans(database)
    const sweeps = createHoldSweeps(database)
    const refusal = () => database.refusal() ?? refusals.product()
    const service = createOrderService({ orders, feed, product: needs.product, refusal, currency })
    const guard = authGuard({ keys: needs.auth.publicKeys, issuer: config.issuer, logger })
    return {
      routes: orderRoutes(service, guard, currency),
      async prepare(call) {
        await setRetention(database, 'orders', settings.RETENTION, call)
        await sweeps.begin(call)
      },
      audit: auditOrders({ orders, scans, product: needs.product, requestTimeoutMs }),
      jobs: [
        sweepUnfinishedOrders({ orders, scans, product: needs.product, refusal, requestTimeoutMs, metrics }),
        sweepHolds({ orders, scans, sweeps, product: needs.product, refusal, requestTimeoutMs }),
      ],
    }
  },
})
