import { authGuard } from '#kernel/http/auth-guard.ts'
import { defineModule } from '#kernel/module.ts'
import { authPort } from '#src/modules/auth/contract.ts'
import { sampleItemMigrations } from './migrations.ts'
import { sampleItemProblems } from './problems.ts'
import { sampleItemApi } from './sample-item.api.ts'
import { createSampleItemRepository } from './sample-item.repository.ts'
import { sampleItemRoutes } from './sample-item.routes.ts'
import { createSampleItemService } from './sample-item.service.ts'

export const sampleItem = defineModule({
  name: 'sample-item',
  api: sampleItemApi,
  problems: sampleItemProblems,
  migrations: sampleItemMigrations,
  needs: { auth: authPort },
  start({ database, needs, config, logger }) {
    const service = createSampleItemService(createSampleItemRepository(database))
    const guard = authGuard({ keys: needs.auth.publicKeys, issuer: config.issuer, logger })
    return { routes: sampleItemRoutes(service, guard), refusal: database.refusal }
  },
})
