import type { AnyModule } from '#kernel/module.ts'
import { auth } from './modules/auth/module.ts'
import { order } from './modules/order/module.ts'
import { product } from './modules/product/module.ts'

/** Every module of the program. A new module is a folder and a line here. */
export const registry: readonly AnyModule[] = [auth, product, order]
