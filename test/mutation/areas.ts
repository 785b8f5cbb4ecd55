/** A part of the code that decides about orders, stock, tokens or access, with the tests that execute it in their own process. */
export interface Area {
  mutate: readonly string[]
  tests: readonly string[]
}

export const areas: Readonly<Record<string, Area>> = {
  // A mutant of it must be killed. Otherwise Stryker did not run the tests against its mutants.
  canary: { mutate: ['test/mutation/canary.ts'], tests: ['test/mutation/canary.test.ts'] },
  orders: {
    mutate: ['src/modules/order/{order,order-ids,order-status,place-order,placement,cancel-order}.ts'],
    tests: [
      'src/modules/order/{order,place-order,sweep-unfinished-orders,order-history}.test.ts',
      'test/shapes/refused-orders.test.ts',
    ],
  },
  stock: {
    mutate: ['src/modules/product/stock/{stock,stock-batch,stock-changes,product-states,reservations}.ts'],
    tests: [
      'src/modules/product/stock/*.test.ts',
      'src/modules/product/{product,create-product,port,demo-catalogue}.test.ts',
      'src/modules/order/{order,place-order}.test.ts',
    ],
  },
  tokens: {
    mutate: [
      'src/modules/auth/sessions/{access-token-issuer,refresh-tokens}.ts',
      'src/kernel/http/auth-guard.ts',
    ],
    tests: [
      'src/modules/auth/sessions/*.test.ts',
      'src/modules/auth/auth.test.ts',
      'src/kernel/http/auth-guard.test.ts',
    ],
  },
  throttles: {
    mutate: ['src/modules/auth/throttling/{throttle,limits}.ts'],
    tests: ['src/modules/auth/throttling/*.test.ts'],
  },
}
