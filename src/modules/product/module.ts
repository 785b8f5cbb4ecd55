import { overloaded } from '#kernel/errors.ts'
import { authGuard } from '#kernel/http/auth-guard.ts'
import { defineModule } from '#kernel/module.ts'
import { retentionSettings, setRetention } from '#kernel/mongo/retention.ts'
import { authPort } from '../auth/contract.ts'
import { demoCatalogue } from './demo-catalogue.ts'
import { connectProduct, productInternalRoutes } from './http.ts'
import { productMigrations } from './migrations.ts'
import { productProblems } from './problems.ts'
import { productApi } from './product.api.ts'
import { createProductRepository } from './product.repository.ts'
import { productRoutes } from './product.routes.ts'
import { createProductService } from './product.service.ts'
import { auditStock } from './stock/audit-stock.ts'
import { createBooksRepository } from './stock/books.repository.ts'
import { createLedger } from './stock/ledger.repository.ts'
import { createReservationService } from './stock/reservations.ts'
import { createStockRepository } from './stock/stock.repository.ts'
import { createStockChanges } from './stock/stock-changes.ts'
import { createStockQueue, crowdedFrom } from './stock/stock-queue.ts'

export const product = defineModule({
  name: 'product',
  api: productApi,
  problems: productProblems,
  migrations: productMigrations,
  settings: () => retentionSettings,
  needs: { auth: authPort },
  start({ database, needs, settings, config, logger, metrics }) {
    const { currency } = config
    const products = createProductRepository(database, logger)
    const stock = createStockRepository(database)
    const ledger = createLedger(database, logger)
    const runInBatch = createStockQueue(stock, metrics)
    const stockChanges = createStockChanges({ newId: stock.newId, runInBatch, currency })
    const service = createProductService({ products, ledger, stockChanges, currency, metrics })
    const reservations = createReservationService(stock, runInBatch, metrics)
    const guard = authGuard({ keys: needs.auth.publicKeys, issuer: config.issuer, logger })
    return {
      routes: productRoutes(service, guard, currency),
      audit: auditStock({ books: createBooksRepository(database), stock }),
      port: reservations,
      refusal: () =>
        database.refusal() ??
        (runInBatch.waiting() >= crowdedFrom ? overloaded(crowdedFrom, 'the stock queue') : undefined),
      internal: productInternalRoutes(reservations, logger),
      async prepare(call) {
        await setRetention(database, 'reservations', settings.RETENTION, call)
        await products.correctInStock(call)
        if (config.demo) await service.createFirst(demoCatalogue, { userId: 'demo', role: 'admin' }, call)
      },
    }
  },
  connect: connectProduct,
})
